package be

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Renew starts to build an environment anew: a copy of it to be changed, and a
// read-only snapshot of what its origin is by now, which will be its base.
// Replace puts both in the place of what was there, at one stroke; until then,
// whatever happens, that is as it was. Renew takes the Lock meanwhile, and
// recovers first; what it settled it returns even with an error.
func (r *Registry) Renew(ctx context.Context, e, origin Env) (b *Build, recovered []txn.Recovered, err error) {
	return r.begin(ctx, "building boot environment %s anew",
		func() (string, error) {
			e, err = r.Get(e.Name)
			return e.Name, err
		},
		func(b *Build) error { return b.renew(ctx, e, origin) })
}

func (b *Build) renew(ctx context.Context, e, origin Env) error {
	if err := b.sync(); err != nil { // what has changed counts once it is written
		return err
	}
	if err := b.txn.Do(ctx, snapshotStep(origin.Subvolume.Path, b.Base, true)); err != nil {
		return fmt.Errorf("cannot snapshot %s: %w", origin.Subvolume.Path, err)
	}
	if err := b.txn.Do(ctx, snapshotStep(e.Subvolume.Path, b.Path, false)); err != nil {
		return fmt.Errorf("cannot snapshot %s: %w", e.Subvolume.Path, err)
	}
	if err := b.mindNested(e); err != nil {
		return err
	}
	leftOut, err := b.copyNested(e.Subvolume.Path, nil, b.newest(origin))
	if err != nil {
		return err
	}
	if len(leftOut) > 0 {
		return fmt.Errorf("%w: the subvolume %s in %s would be lost", ErrProtected, leftOut[0], e.Name)
	}
	b.Scratch = e.Subvolume.UUID
	return b.describe(ctx, func(sub, base store.Subvolume) Record {
		record := e.Record
		record.UUID, record.BaseUUID, record.Forked = sub.UUID, base.UUID, e.Forked()
		return record
	})
}

// newest returns what a subvolume nested in an environment is copied from: from
// its counterpart in the origin as it is by now, unless the environment has
// changed its own.
func (b *Build) newest(origin Env) func(sub store.Subvolume, inside string) (string, error) {
	st := b.registry.store
	return func(sub store.Subvolume, inside string) (string, error) {
		counterpart, err := st.Get(origin.Subvolume.Path + inside)
		if gone(err) {
			return sub.Path, nil
		}
		if err != nil {
			return "", err
		}
		untouched, err := store.Untouched(st, sub, counterpart)
		if err != nil || !untouched {
			return sub.Path, err
		}
		return counterpart.Path, nil
	}
}

// TakeNested gives the build a subvolume that is nested in its origin, by its
// path there, and that it has an empty directory for.
func (b *Build) TakeNested(origin Env, path string) error {
	err := b.takeNested(origin.Subvolume.Path+"/"+path, "/"+path)
	if err != nil {
		return fmt.Errorf("cannot copy nested subvolume /%s: %w", path, err)
	}
	return nil
}

// Part makes a build that was begun with Renew that of an environment of its own,
// with a name, or an automatic one for "": what it is a copy of stays what it is.
func (b *Build) Part(ctx context.Context, name string) error {
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
		Schema: RecordSchema, UUID: old.UUID, State: Creating, Wanted: name, Made: old.Made, Created: sub.Created.UTC(),
		Origin: old.Origin, OriginUUID: old.OriginUUID, BaseUUID: old.BaseUUID, Forked: old.Forked, Command: old.Command,
		Parameters: old.Parameters,
	}
	step, err := recordStep(record.UUID, &old, &record)
	if err != nil {
		return err
	}
	if err := b.txn.Do(ctx, step); err != nil {
		return err
	}
	b.Name, b.Record = name, record
	return nil
}

// Replace has the build take the place and the state of an environment, which it
// was begun with, and destroys that; edit changes its record further. On an error
// everything is taken back. What could not be destroyed is garbage for the next
// command: the running root is, until another one runs.
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
	step, err := recordStep(record.UUID, &b.Record, &record)
	if err != nil {
		return err
	}
	if err := b.txn.Do(ctx, step); err != nil {
		return err
	}
	if err := b.sync(); err != nil {
		return err
	}
	if err := b.txn.Do(ctx, filesStep(e.Subvolume.UUID, record.UUID)); err != nil {
		return err
	}
	base, err := b.registry.baseOf(e)
	if err != nil {
		return err
	}
	place := BaseDir + "/" + b.Name
	step = renameStep(record.BaseUUID, b.Base, place)
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

// recordOf returns the record of a build that takes the place of an environment:
// that has the other one's as it is by now. It is an error if it became another
// one meanwhile, or is of no use any more.
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
		return Record{}, fmt.Errorf("%w: %s is %s meanwhile", ErrProtected, e.Name, record.State)
	}
	record.UUID, record.BaseUUID, record.Forked = b.Record.UUID, b.Record.BaseUUID, b.Record.Forked
	record.Emptied = b.Record.Emptied
	return record, nil
}

// moveFiles has what is kept of an environment known by another UUID: what it
// wrote to other file systems, and the journal of its failed trial. It may have
// been moved before, and there may be nothing.
func (r *Registry) moveFiles(from, to string) error {
	for _, dir := range []func(uuid string) string{ScratchDir, FailedDir} {
		err := os.Rename(r.store.Path(dir(from)), r.store.Path(dir(to)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot keep what belongs to a boot environment: %w", err)
		}
	}
	return nil
}
