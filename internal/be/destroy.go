package be

import (
	"context"
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
)

// Destroy deletes an environment, its base and its record, unless something is
// nested in it that exists nowhere else: a NestedError. The other rules are the
// caller's to check, and the caller holds the Lock. One rename makes the
// environment garbage; what a cut-off run has not collected of it, the next
// command does.
func (r *Registry) Destroy(ctx context.Context, e Env) error {
	if err := r.checkNested(e); err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	return r.DestroyWithNested(ctx, e)
}

// DestroyWithNested is Destroy with all that is nested in the environment, also
// what exists nowhere else.
func (r *Registry) DestroyWithNested(_ context.Context, e Env) error {
	garbage := EnvDir + "/" + newPrefix + e.Subvolume.UUID
	err := r.store.Rename(e.Subvolume.Path, garbage)
	if durable.Unwritable(err) {
		// A disk that is too full for another name still takes the deletion, which
		// is how it gets room again.
		garbage, err = e.Subvolume.Path, nil
	}
	if err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	if err := r.destroy(garbage); err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	// What belonged to it is garbage now. If some of that can't be removed, or
	// some of another one's, the next Recover tells.
	_ = r.collect()
	return nil
}

// ScratchDir is where, in the store, a sandbox keeps what was written to
// other file systems in the environment whose subvolume has a UUID.
func ScratchDir(uuid string) string { return HomeDir + "/scratch/" + uuid }

// FailedDir is where, in the store, the journal is kept of the trial of an
// environment that failed, whose subvolume has a UUID.
func FailedDir(uuid string) string { return HomeDir + "/failed/" + uuid }

// baseOf finds the base of an environment: under its name, or, after a rename
// that was cut off, under another. "" if it has none.
func (r *Registry) baseOf(e Env) (string, error) {
	if e.Record.BaseUUID == "" {
		return "", nil
	}
	sub, err := r.store.Get(BaseDir + "/" + e.Name)
	if err == nil && sub.UUID == e.Record.BaseUUID {
		return sub.Path, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	bases, err := r.store.List(BaseDir)
	if err != nil {
		return "", err
	}
	for _, sub := range bases {
		if sub.UUID == e.Record.BaseUUID {
			return sub.Path, nil
		}
	}
	return "", nil
}

// BaseOf returns the base of an environment, the read-only snapshot of its
// origin at the instant that it was made: ErrNotFound if it has none.
func (r *Registry) BaseOf(e Env) (store.Subvolume, error) {
	path, err := r.baseOf(e)
	if err == nil && path == "" {
		err = fmt.Errorf("%w: the base of %s", ErrNotFound, e.Name)
	}
	if err != nil {
		return store.Subvolume{}, err
	}
	return r.store.Get(path)
}

// ShareSnapshotsOf returns the snapshots of shares that are kept with an environment, by
// the names of the shares.
func (r *Registry) ShareSnapshotsOf(e Env) (map[string]store.Subvolume, error) {
	if len(e.Record.ShareSnapshots) == 0 {
		return nil, nil
	}
	all, err := r.store.List(ShareSnapshotDir)
	if err != nil {
		return nil, err
	}
	found := map[string]store.Subvolume{}
	for _, past := range e.Record.ShareSnapshots {
		for _, sub := range all {
			if sub.UUID == past.UUID {
				found[past.Share] = sub
			}
		}
	}
	return found, nil
}

// Rename gives an environment another name. The caller holds the Lock.
func (r *Registry) Rename(ctx context.Context, e Env, name string) error {
	if err := r.CheckFree(name); err != nil {
		return fmt.Errorf("cannot rename %s: %w", e.Name, err)
	}
	if e.Unreadable != nil {
		return fmt.Errorf("cannot rename %s: %w", e.Name, e.Unreadable)
	}
	if e.DefaultErr != nil {
		return fmt.Errorf("cannot rename %s: %w: it is not known what the next boot takes: %w", e.Name, ErrProtected, e.DefaultErr)
	}
	if e.Record.Path != "" {
		return fmt.Errorf("cannot rename %s: %w: %s is where the installer put it", e.Name, ErrProtected, e.Subvolume.Path)
	}
	if e.Origin {
		return fmt.Errorf("cannot rename %s: %w: apt-be init was run in it, and apt-be init --undo goes back to it", e.Name, ErrProtected)
	}
	t, err := r.journal.Begin(fmt.Sprintf("renaming boot environment %s to %s", e.Name, name))
	if err != nil {
		return err
	}
	base, err := r.baseOf(e)
	if err == nil && base != "" {
		err = t.Do(ctx, renameStep(e.Record.BaseUUID, base, BaseDir+"/"+name))
	}
	if err == nil {
		err = t.Commit(ctx, renameStep(e.Subvolume.UUID, e.Subvolume.Path, EnvDir+"/"+name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot rename %s: %w", e.Name, err), t.Rollback(ctx))
	}
	return nil
}
