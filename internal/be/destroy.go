package be

import (
	"context"
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
)

// Destroy deletes an environment, its base and its record. It returns a NestedError if
// a nested subvolume exists nowhere else. The caller checks the other rules and holds
// the Lock. One rename makes the environment garbage; if the process dies, the next
// command deletes the garbage.
func (r *Registry) Destroy(ctx context.Context, e Env) error {
	if err := r.checkNested(e); err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	return r.DestroyWithNested(ctx, e)
}

// DestroyWithNested is Destroy that also deletes nested subvolumes that exist nowhere
// else. The caller checks the other rules and holds the Lock.
func (r *Registry) DestroyWithNested(_ context.Context, e Env) error {
	garbage := EnvDir + "/" + newPrefix + e.Subvolume.UUID
	err := r.store.Rename(e.Subvolume.Path, garbage)
	if durable.Unwritable(err) {
		// On a full disk the rename fails, but the deletion works. Deleting
		// environments is the way to free space.
		garbage, err = e.Subvolume.Path, nil
	}
	if err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	if err := r.destroy(garbage); err != nil {
		return fmt.Errorf("cannot destroy %s: %w", e.Name, err)
	}
	// The environment's base, record and files are garbage now. If some garbage cannot
	// be removed, the next Recover reports it.
	_ = r.collect()
	return nil
}

// ScratchDir returns the path, in the store, of the scratch directory of the
// environment with the UUID.
func ScratchDir(uuid string) string { return HomeDir + "/scratch/" + uuid }

// FailedDir returns the path, in the store, of the directory with the journal of a
// failed trial of the environment with the UUID.
func FailedDir(uuid string) string { return HomeDir + "/failed/" + uuid }

// LogDir returns the path, in the store, of the directory with the logs of the upgrades
// that made or extended the environment with the UUID.
func LogDir(uuid string) string { return HomeDir + "/log/" + uuid }

// baseOf returns the path of an environment's base: under the environment's name, or
// under another name after an interrupted rename. It returns "" if there is none.
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

// BaseOf returns the base of an environment: the read-only snapshot of its origin at
// the instant of its creation. It returns ErrNotFound if the environment has no base.
// It needs no lock; a caller that uses the base holds the Lock, or Use of e.
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

// ShareSnapshotsOf returns the share snapshots of an environment, by the names of the
// shares. A snapshot that was deleted is missing. It needs no lock, like BaseOf. It
// fails if the store cannot list the snapshots.
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

// Rename changes the name of an environment. The caller holds the Lock.
func (r *Registry) Rename(ctx context.Context, e Env, name string) error {
	if err := r.CheckFree(name); err != nil {
		return fmt.Errorf("cannot rename %s: %w", e.Name, err)
	}
	if e.Unreadable != nil {
		return fmt.Errorf("cannot rename %s: %w", e.Name, e.Unreadable)
	}
	if e.DefaultErr != nil {
		return fmt.Errorf("cannot rename %s: %w: the default is unknown: %w", e.Name, ErrProtected, e.DefaultErr)
	}
	if e.Record.Path != "" {
		return fmt.Errorf("cannot rename %s: %w: %s is where the installer put it", e.Name, ErrProtected, e.Subvolume.Path)
	}
	if e.Origin {
		return fmt.Errorf("cannot rename %s: %w: apt-be init was run in it, and apt-be init --undo returns to it", e.Name, ErrProtected)
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
