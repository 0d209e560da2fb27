package be

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// BuildOptions are the parameters of a build.
type BuildOptions struct {
	Name      string   // "" for an automatic name
	Prefix    string   // the prefix of an automatic name
	Origin    Env      // the environment to snapshot
	CreatedBy Creator  // the reason of the build
	Command   []string // the user's command
	LeaveOut  []string // globs of absolute paths in the origin: nested subvolumes there are not copied
	Parts     []Part   // the origin's parts
}

// Build is an environment under construction, in a transaction that ends with Commit or
// Discard. If the process dies, the next Recover discards it.
type Build struct {
	Name   string
	Record Record
	Path   string // the environment's subvolume, in the store
	Base   string // the read-only snapshot of the origin
	// Scratch is the UUID of the scratch directory: the build's own UUID, or that of
	// the environment that it is a copy of.
	Scratch string

	HiddenParts []string // places of parts with files below their mount points; these files are beside the part, as PLACE.below-mount

	registry *Registry
	txn      *txn.Txn
	emptied  []string // places of subvolumes with active swap files; they are empty in the build
	copied   []string // places of nested subvolumes in the environment that the build is a copy of
	foreign  []string // those of them that exist nowhere else
}

// Begin starts to build an environment: a writable and a read-only snapshot of its
// origin, with nested subvolumes. It takes the Lock meanwhile, and recovers first. It
// returns the recovered transactions even if it fails.
func (r *Registry) Begin(ctx context.Context, o BuildOptions) (b *Build, recovered []txn.Recovered, err error) {
	return r.begin(ctx, "building boot environment %s",
		func() (string, error) { return r.freeName(o.Name, o.Prefix) },
		func(b *Build) error { return b.snapshot(ctx, o) })
}

// begin starts a transaction that builds the environment that name returns. snapshot
// makes the subvolumes.
func (r *Registry) begin(ctx context.Context, title string, name func() (string, error), snapshot func(*Build) error) (b *Build, recovered []txn.Recovered, err error) {
	release, err := r.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if recovered, err = r.Recover(ctx); err != nil {
		return nil, recovered, err
	}
	b = &Build{registry: r}
	if b.Name, err = name(); err != nil {
		return nil, recovered, err
	}
	if b.txn, err = r.journal.Begin(fmt.Sprintf(title, b.Name)); err != nil {
		return nil, recovered, err
	}
	b.Path, b.Base = envPlace(b.ID()), basePlace(b.ID())
	if err := snapshot(b); err != nil {
		return nil, recovered, b.takeBack(ctx, err)
	}
	return b, recovered, nil
}

// takeBack undoes the transaction because of an error, and returns the error.
func (b *Build) takeBack(ctx context.Context, err error) error {
	if undoErr := b.txn.Rollback(ctx); undoErr != nil {
		return fmt.Errorf("%w (and %w)", err, undoErr)
	}
	return err
}

func (b *Build) snapshot(ctx context.Context, o BuildOptions) error {
	r := b.registry
	origin := o.Origin.Subvolume
	if err := r.adopt(o.Origin); err != nil {
		return err
	}
	// The base becomes read-only after its nested subvolumes were copied.
	if err := b.copy(ctx, origin.Path, b.Base); err != nil {
		return err
	}
	// The environment is a snapshot of the base, not of the origin, so that both are of
	// the same instant even if the origin changes. The same holds for each nested
	// subvolume.
	if err := b.copy(ctx, b.Base, b.Path); err != nil {
		return err
	}
	inner, err := SubvolumesBelow(r.store, origin.Path, o.Parts)
	if err != nil {
		return err
	}
	inner, leftOut := splitCopied(inner, func(place string) bool { return matches(o.LeaveOut, place) })
	var copied []SubvolumeBelow
	for _, in := range inner {
		swap, err := b.onlySwap(in)
		if err != nil {
			return err
		}
		there := false
		if !swap {
			there, err = b.copyToBase(in)
		}
		switch {
		case swap, errors.Is(err, store.ErrSwapFile):
			if err := b.empty(in); err != nil {
				return err
			}
			continue
		case err == nil && there:
			err = b.copyInner(in, b.Base+in.Place)
		}
		if err != nil {
			return err
		}
		if there {
			copied = append(copied, in)
		} else {
			leftOut = append(leftOut, in.Place)
		}
	}
	if err := b.seal(copied); err != nil {
		return err
	}
	return b.describe(ctx, func(sub, base store.Subvolume) Record {
		return Record{
			Schema:     RecordSchema,
			UUID:       sub.UUID,
			CreatedBy:  o.CreatedBy,
			Created:    sub.Created.UTC(),
			Origin:     o.Origin.Name,
			OriginUUID: origin.UUID,
			BaseUUID:   base.UUID,
			Command:    o.Command,
			Title:      o.Origin.Record.Title,
			Parameters: o.Origin.Record.Parameters,
			LeftOut:    leftOut,
			Parts:      o.Parts,
		}
	})
}

// describe writes the record of the environment. The environment belongs to the
// transaction until it has its place.
func (b *Build) describe(ctx context.Context, record func(sub, base store.Subvolume) Record) error {
	base, err := b.registry.store.Get(b.Base)
	if err != nil {
		return err
	}
	sub, err := b.registry.store.Get(b.Path)
	if err != nil {
		return err
	}
	b.Record = record(sub, base)
	b.Record.State, b.Record.TargetName, b.Record.Emptied = Creating, b.Name, b.emptied
	if b.Scratch == "" {
		b.Scratch = sub.UUID
	}
	return b.putRecord(ctx, sub.UUID, nil, &b.Record)
}

// adopt writes a record for an environment without one, so that it stays known when
// another environment runs.
func (r *Registry) adopt(e Env) error {
	if _, err := os.Lstat(r.recordPath(e.Subvolume.UUID)); err == nil {
		return nil
	}
	return r.save(e.Record)
}

func matches(globs []string, file string) bool {
	for _, glob := range globs {
		for dir := file; dir != "/" && dir != "."; dir = path.Dir(dir) {
			if ok, _ := path.Match(glob, dir); ok {
				return true
			}
		}
	}
	return false
}

// ID returns the unique ID of the build.
func (b *Build) ID() string { return b.txn.ID }

// LockFile returns the file that a process must inherit to continue the build after
// this process has ended.
func (b *Build) LockFile() *os.File { return b.txn.File() }

// Discard deletes the build, with nested subvolumes.
func (b *Build) Discard(ctx context.Context) error {
	return b.txn.Rollback(ctx)
}

// Commit makes the environment's files durable, writes the record with its state and
// the changes of edit, and gives the environment its name by one rename(2). If it
// fails, it discards the build.
func (b *Build) Commit(ctx context.Context, state State, edit func(*Record)) (Env, error) {
	record := b.Record
	edit(&record)
	record.State, record.TargetName = state, ""
	return b.finish(ctx,
		func() error { return b.note(ctx, &record) },
		func() error {
			if err := b.txn.Do(ctx, renameStep(record.BaseUUID, b.Base, BaseDir+"/"+b.Name)); err != nil {
				return err
			}
			return b.txn.Commit(ctx, renameStep(record.UUID, b.Path, EnvDir+"/"+b.Name))
		})
}

// finish ends a build: it calls prepare, syncs the build, takes the Lock, and calls
// place, which moves the build to its place. If a step fails, it discards the build.
func (b *Build) finish(ctx context.Context, prepare, place func() error) (Env, error) {
	err := prepare()
	if err == nil {
		// Sync everything, with the record, before anything has a name. This may take
		// long, so the Lock is not held.
		err = b.sync()
	}
	if err != nil {
		return Env{}, b.takeBack(ctx, err)
	}
	release, err := b.registry.Lock(ctx)
	if err != nil {
		return Env{}, b.takeBack(ctx, err)
	}
	defer release()
	if err := place(); err != nil {
		return Env{}, b.takeBack(ctx, err) // with the Lock held, because undoing writes to the registry, too
	}
	return b.registry.Get(b.Name)
}

func (b *Build) sync() error {
	if err := b.registry.store.Sync(); err != nil {
		return fmt.Errorf("cannot write the boot environment to disk: %w", err)
	}
	return nil
}

// note writes the future record of the environment. The state in it counts only after
// the subvolume has its name.
func (b *Build) note(ctx context.Context, record *Record) error {
	if nested, err := b.registry.store.Nested(b.Path); err != nil {
		return err
	} else if len(nested) > 0 {
		if err := b.sync(); err != nil {
			return err
		}
	}
	if err := b.noteNested(record); err != nil {
		return err
	}
	release, err := b.registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return b.putRecord(ctx, record.UUID, &b.Record, record)
}
