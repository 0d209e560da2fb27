package be

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Renew starts to rebuild an environment: it makes a copy of the environment, to be
// changed, and a read-only snapshot of the current origin, the new base. Replace then
// exchanges both with the old ones atomically; until then the old ones stay unchanged.
// Renew takes the Lock meanwhile, and recovers first. It returns the recovered
// transactions even if it fails. parts are the origin's current parts.
func (r *Registry) Renew(ctx context.Context, e, origin Env, parts []Part) (b *Build, recovered []txn.Recovered, err error) {
	return r.begin(ctx, "building boot environment %s anew",
		func() (string, error) {
			if e, err = r.Get(e.Name); err == nil && e.Unreadable != nil {
				err = e.Unreadable
			}
			return e.Name, err
		},
		func(b *Build) error { return b.renew(ctx, e, origin, parts) })
}

func (b *Build) renew(ctx context.Context, e, origin Env, parts []Part) error {
	if err := b.sync(); err != nil { // changes count only after they were written
		return err
	}
	st := b.registry.store
	now, err := SubvolumesBelow(st, origin.Subvolume.Path, parts)
	if err != nil {
		return err
	}
	now, _ = splitCopied(now, func(place string) bool {
		return slices.Contains(e.Record.LeftOut, place) || slices.Contains(e.Record.Emptied, place)
	})
	own, err := SubvolumesBelow(st, e.Subvolume.Path, nil)
	if err != nil {
		return err
	}
	own, lost := splitCopied(own, func(string) bool { return false })
	if len(lost) > 0 {
		return fmt.Errorf("%w: the subvolume %s in %s would be lost", ErrProtected, lost[0], e.Name)
	}
	oldBase, err := b.registry.baseOf(e)
	if err != nil {
		return err
	}
	if err := b.copy(ctx, origin.Subvolume.Path, b.Base); err != nil {
		return err
	}
	if err := b.copy(ctx, e.Subvolume.Path, b.Path); err != nil {
		return err
	}
	if err := b.checkNested(e); err != nil {
		return err
	}
	newer := map[string]bool{}
	var copied []SubvolumeBelow
	for _, in := range now {
		swap, err := b.onlySwap(in)
		if err != nil {
			return err
		}
		if swap {
			continue
		}
		if newer[in.Place], err = b.copyToBase(in); err != nil && !errors.Is(err, store.ErrSwapFile) {
			return err
		}
		if newer[in.Place] {
			copied = append(copied, in)
		}
	}
	if err := b.seal(copied); err != nil {
		return err
	}
	for _, in := range own {
		swap, err := b.onlySwap(in)
		if err == nil && swap {
			err = b.empty(in)
		}
		if err != nil {
			return err
		}
		if swap {
			continue
		}
		source := in.Subvolume.Path
		if newer[in.Place] && oldBase != "" {
			untouched, err := b.registry.untouched(in.Subvolume, oldBase+in.Place)
			if err != nil {
				return err
			}
			if untouched {
				source = b.Base + in.Place
			}
		}
		if err := b.copyInner(in, source); err != nil {
			return err
		}
	}
	b.Scratch = e.Subvolume.UUID
	return b.describe(ctx, func(sub, base store.Subvolume) Record {
		record := e.Record
		record.UUID, record.BaseUUID, record.ForkGeneration = sub.UUID, base.UUID, e.ForkGeneration()
		record.Parts = mergeParts(e.Record.Parts, parts)
		return record
	})
}

// mergeParts returns the parts of both lists, each place once.
func mergeParts(one, other []Part) []Part {
	merged := slices.Clone(one)
	for _, part := range other {
		if !slices.ContainsFunc(merged, func(p Part) bool { return p.Place == part.Place }) {
			merged = append(merged, part)
		}
	}
	return merged
}

// untouched reports whether a subvolume in an environment is unchanged since it was
// created as a snapshot of the one at a path in the base. The path may not exist.
func (r *Registry) untouched(sub store.Subvolume, base string) (bool, error) {
	was, err := r.store.Get(base)
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return store.IsUnmodified(r.store, sub, was)
}

// CopyFromBase copies a subvolume from the build's base to the same path in the build,
// where an empty directory must exist.
func (b *Build) CopyFromBase(path string) error {
	err := b.registry.store.SnapshotOver(b.Base+"/"+path, b.Path+"/"+path, false)
	if err != nil {
		return fmt.Errorf("cannot copy the subvolume /%s: %w", path, err)
	}
	return nil
}

// Split turns a build that Renew began into a new environment with a name, or with an
// automatic name for "". The environment that it is a copy of stays unchanged.
func (b *Build) Split(ctx context.Context, name string) error {
	r := b.registry
	release, err := r.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	sub, err := r.store.Get(b.Path)
	if err != nil {
		return err
	}
	name, err = r.freeName(name, "")
	if err != nil {
		return err
	}
	old := b.Record
	record := Record{
		Schema: RecordSchema, UUID: old.UUID, State: Creating, TargetName: name, CreatedBy: old.CreatedBy, Created: sub.Created.UTC(),
		Origin: old.Origin, OriginUUID: old.OriginUUID, BaseUUID: old.BaseUUID, ForkGeneration: old.ForkGeneration, Command: old.Command,
		Parameters: old.Parameters, LeftOut: old.LeftOut, Parts: old.Parts,
	}
	if err := b.putRecord(ctx, record.UUID, &old, &record); err != nil {
		return err
	}
	b.Name, b.Record = name, record
	return nil
}

// Replace replaces the environment by the build, which takes its place and state, and
// destroys the old subvolume. edit makes further changes of the record. If it fails, it
// discards the build. A subvolume that cannot be destroyed, such as the running root,
// becomes garbage.
func (b *Build) Replace(ctx context.Context, e Env, edit func(*Record)) (Env, error) {
	return b.finish(ctx,
		func() error { return nil },
		func() error { return b.replace(ctx, e, edit) })
}

func (b *Build) replace(ctx context.Context, e Env, edit func(*Record)) error {
	record, err := b.recordOf(e)
	if err != nil {
		return err
	}
	edit(&record)
	if err := b.checkCopied(e); err != nil {
		return err
	}
	if err := b.noteNested(&record); err != nil {
		return err
	}
	if err := b.putRecord(ctx, record.UUID, &b.Record, &record); err != nil {
		return err
	}
	if err := b.sync(); err != nil {
		return err
	}
	if err := b.txn.Do(ctx, b.filesStep(e.Subvolume.UUID, record.UUID)); err != nil {
		return err
	}
	base, err := b.registry.baseOf(e)
	if err != nil {
		return err
	}
	place := BaseDir + "/" + b.Name
	step := renameStep(record.BaseUUID, b.Base, place)
	if base == place {
		step = exchangeStep(record.BaseUUID, b.Base, place)
	}
	if err := b.txn.Do(ctx, step); err != nil {
		return err
	}
	if err := b.txn.Commit(ctx, exchangeStep(record.UUID, b.Path, e.Subvolume.Path)); err != nil {
		return err
	}
	b.keepSwap(e.Subvolume.Path, b.Path)
	_ = b.registry.collect()
	return nil
}

// recordOf returns the record of a build that replaces an environment: the
// environment's current record. It fails if the environment was replaced meanwhile, or
// can no longer be booted.
func (b *Build) recordOf(e Env) (Record, error) {
	r := b.registry
	if at, err := r.isAt(e.Subvolume.Path, e.Subvolume.UUID); err != nil || !at {
		return Record{}, errors.Join(fmt.Errorf("%w: %s, as it was", ErrNotFound, e.Name), err)
	}
	records, err := r.records()
	if err != nil {
		return Record{}, err
	}
	record, ok := records[e.Subvolume.UUID]
	if !ok {
		return Record{}, fmt.Errorf("%w: the record of %s", ErrNotFound, e.Name)
	}
	if record.State != e.Record.State {
		return Record{}, fmt.Errorf("%w: %s is now %s", ErrProtected, e.Name, record.State)
	}
	record.UUID, record.BaseUUID, record.ForkGeneration = b.Record.UUID, b.Record.BaseUUID, b.Record.ForkGeneration
	record.Parts = b.Record.Parts
	record.Emptied = b.Record.Emptied
	return record, nil
}

// moveFiles moves the files of an environment to another UUID: its scratch directory,
// the journal of its failed trial, and the logs of its upgrades. They may be moved already, or may not exist.
func (r *Registry) moveFiles(from, to string) error {
	for _, dir := range []func(uuid string) string{ScratchDir, FailedDir, LogDir} {
		err := os.Rename(r.store.Path(dir(from)), r.store.Path(dir(to)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot move the files of a boot environment: %w", err)
		}
	}
	return nil
}
