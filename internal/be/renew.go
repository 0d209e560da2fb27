package be

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/txn"
)

// Renew starts to build an environment anew: a copy of it to be changed, and a
// read-only snapshot of what its origin is by now, which will be its base.
// Replace puts both in the place of what was there, at one stroke; until then,
// whatever happens, that is as it was. Renew takes the Lock meanwhile, and
// recovers first; what it settled it returns even with an error.
func (r *Registry) Renew(ctx context.Context, e, origin Env) (b *Build, recovered []txn.Recovered, err error) {
	release, err := r.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if recovered, err = r.Recover(ctx); err != nil {
		return nil, recovered, err
	}
	if e, err = r.Get(e.Name); err != nil {
		return nil, recovered, err
	}
	t, err := r.journal.Begin("building boot environment " + e.Name + " anew")
	if err != nil {
		return nil, recovered, err
	}
	b = &Build{
		Name:     e.Name,
		Path:     EnvDir + "/" + newPrefix + t.ID,
		Base:     BaseDir + "/" + newPrefix + t.ID,
		registry: r,
		txn:      t,
	}
	if err := b.renew(ctx, e, origin); err != nil {
		if undoErr := t.Rollback(ctx); undoErr != nil {
			err = fmt.Errorf("%w (and %w)", err, undoErr)
		}
		return nil, recovered, err
	}
	return b, recovered, nil
}

func (b *Build) renew(ctx context.Context, e, origin Env) error {
	r := b.registry
	if err := b.txn.Do(ctx, snapshotStep(origin.Subvolume.Path, b.Base, true)); err != nil {
		return fmt.Errorf("cannot snapshot %s: %w", origin.Subvolume.Path, err)
	}
	if err := b.txn.Do(ctx, snapshotStep(e.Subvolume.Path, b.Path, false)); err != nil {
		return fmt.Errorf("cannot snapshot %s: %w", e.Subvolume.Path, err)
	}
	leftOut, err := b.copyNested(BuildOptions{Origin: e})
	if err != nil {
		return err
	}
	if len(leftOut) > 0 {
		return fmt.Errorf("%w: the subvolume %s in %s would be lost", ErrProtected, leftOut[0], e.Name)
	}
	base, err := r.store.Get(b.Base)
	if err != nil {
		return err
	}
	sub, err := r.store.Get(b.Path)
	if err != nil {
		return err
	}
	b.Record = e.Record
	b.Record.UUID, b.Record.BaseUUID, b.Record.Forked = sub.UUID, base.UUID, e.Forked()
	// It belongs to a transaction until it has its place.
	b.Record.State, b.Record.Wanted = Creating, b.Name
	step, err := recordStep(sub.UUID, nil, &b.Record)
	if err != nil {
		return err
	}
	return b.txn.Do(ctx, step)
}

// Replace has the build take the place and the state of an environment, which it
// was begun with, and destroys that. On an error everything is taken back. What
// could not be destroyed is garbage for the next command.
func (b *Build) Replace(ctx context.Context, e Env) (renewed Env, err error) {
	r := b.registry
	release := func() {}
	defer func() {
		if err != nil {
			if undoErr := b.txn.Rollback(ctx); undoErr != nil {
				err = fmt.Errorf("%w (and %w)", err, undoErr)
			}
		}
		release() // only now: what is taken back writes to the registry too
	}()
	// Most of it is durable before anybody is locked out.
	if err := r.store.Sync(); err != nil {
		return Env{}, fmt.Errorf("cannot write the boot environment to disk: %w", err)
	}
	unlock, err := r.Lock(ctx)
	if err != nil {
		return Env{}, err
	}
	release = unlock
	record, err := b.recordOf(e)
	if err != nil {
		return Env{}, err
	}
	step, err := recordStep(record.UUID, &b.Record, &record)
	if err != nil {
		return Env{}, err
	}
	if err := b.txn.Do(ctx, step); err != nil {
		return Env{}, err
	}
	if err := r.store.Sync(); err != nil {
		return Env{}, fmt.Errorf("cannot write the boot environment to disk: %w", err)
	}
	if err := b.txn.Do(ctx, scratchStep(e.Subvolume.UUID, record.UUID)); err != nil {
		return Env{}, err
	}
	base, err := r.baseOf(e)
	if err != nil {
		return Env{}, err
	}
	place := BaseDir + "/" + b.Name
	step = renameStep(record.BaseUUID, b.Base, place)
	if base == place {
		step = exchangeStep(record.BaseUUID, b.Base, place)
	}
	if err := b.txn.Do(ctx, step); err != nil {
		return Env{}, err
	}
	if err := b.txn.Commit(ctx, exchangeStep(record.UUID, b.Path, e.Subvolume.Path)); err != nil {
		return Env{}, err
	}
	_ = r.collect()
	return r.Get(b.Name)
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
	return record, nil
}

// moveScratch has what an environment wrote to other file systems known by
// another UUID. It may have been moved before, and there may be nothing.
func (r *Registry) moveScratch(from, to string) error {
	old, fresh := r.store.Path(ScratchDir(from)), r.store.Path(ScratchDir(to))
	err := os.Rename(old, fresh)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot keep what was written to other file systems: %w", err)
	}
	return nil
}
