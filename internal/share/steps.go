package share

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// The kinds of steps that turn a directory into a share. Recovery undoes them while the
// environment's fstab does not name the share, and completes them afterwards.
const (
	stepMake  = "share-make"  // dst: an empty subvolume
	stepName  = "share-name"  // gives the copy its name
	stepMount = "share-mount" // mounts the copy, read-only, over the directory
	stepEnter = "share-enter" // adds the share to the fstabs, and makes it writable
	stepEmpty = "share-empty" // empties the directory below the mount
)

// move is a directory that becomes a share, as the arguments of steps.
type move struct {
	name    string
	uuid    string // the subvolume's UUID
	fresh   string // the subvolume's place before it has its name
	env     string // the environment's subvolume
	envUUID string
	dir     string
	old     string // the fingerprint of the copied directory
	copy    string // the fingerprint of the copy, if the copy is a directory
	// wasMounted is true if a share that becomes a directory was mounted there.
	wasMounted bool
	// seal is true if the directory below is sealed meanwhile.
	seal bool
}

func (m move) step(kind string) txn.Step {
	args := txn.Args{
		"share": m.name, "uuid": m.uuid, "from": m.fresh, "env": m.env, "env-uuid": m.envUUID,
		"path": m.dir, "old": m.old, "copy": m.copy,
	}
	if m.wasMounted {
		args["mounted"] = "yes"
	}
	if m.seal {
		args["seal"] = "yes"
	}
	return txn.Step{Kind: kind, Args: args}
}

func moveIn(a txn.Args) move {
	return move{
		name: a["share"], uuid: a["uuid"], fresh: a["from"], env: a["env"], envUUID: a["env-uuid"],
		dir: a["path"], old: a["old"], copy: a["copy"], wasMounted: a["mounted"] == "yes", seal: a["seal"] == "yes",
	}
}

func (m move) subvolume() string { return Dir + "/" + m.name }

// below returns the path, in the store, of the directory below the mount.
func (m move) below() string { return m.env + m.dir }

func (s *Shares) moveOf(a *Addition, fresh string) (move, error) {
	sub, err := s.store.Get(fresh)
	return move{
		name: a.Name, uuid: sub.UUID, fresh: fresh, dir: a.Path,
		env: a.Running.Subvolume.Path, envUUID: a.Running.Subvolume.UUID,
	}, err
}

func (s *Shares) handlers() txn.Handlers {
	step := func(check func(id string, a txn.Args) error, do, undo func(m move) error) txn.Handler {
		return txn.Handler{
			Check: check,
			Do:    func(_ context.Context, a txn.Args) error { return do(moveIn(a)) },
			Undo:  func(_ context.Context, a txn.Args) error { return undo(moveIn(a)) },
		}
	}
	handlers := txn.Handlers{
		stepMake: {
			Check: checkMake,
			Do:    func(_ context.Context, a txn.Args) error { return s.store.Create(a["dst"]) },
			Undo:  s.last(func(a txn.Args) error { return s.destroyUnmounted(a["dst"], "") }),
		},
		stepName:  step(checkAdd, func(m move) error { return s.store.Rename(m.fresh, m.subvolume()) }, s.unname),
		stepMount: step(checkAdd, s.coverUp, s.takeOff),
		stepEnter: step(checkAdd, s.enterAll, s.finishEntering),
		stepEmpty: step(checkAdd, s.empty, func(m move) error {
			if entered, err := s.entered(m); err != nil || !entered {
				return err
			}
			return s.empty(m)
		}),
		stepFill: {
			Check: checkRemove,
			Do:    func(context.Context, txn.Args) error { return nil },
			Undo:  s.last(func(a txn.Args) error { return s.unfill(moveIn(a)) }),
		},
		stepFreeze: step(checkRemove, s.freeze, s.unfreeze),
		stepLeave:  step(checkRemove, s.leaveShare, s.letGo),
	}
	maps.Copy(handlers, s.restoreHandlers())
	return handlers
}

// last wraps the undo of the first step of a transaction. It syncs all earlier undos
// before the journal is removed.
func (s *Shares) last(undo func(a txn.Args) error) func(context.Context, txn.Args) error {
	return func(_ context.Context, a txn.Args) error {
		if err := undo(a); err != nil {
			return err
		}
		return s.store.Sync()
	}
}

// end ends a completed transaction.
func (s *Shares) end(t *txn.Txn) error {
	if err := s.store.Sync(); err != nil {
		return err
	}
	return t.End()
}

// destroy deletes a subvolume if it exists.
func (s *Shares) destroy(at string) error {
	err := s.store.Delete(at)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// destroyUnmounted deletes the subvolume at a place, if there is one. It fails if the
// subvolume is mounted, or is not a snapshot of the subvolume with the UUID parent. If
// parent is "", the subvolume must not be a snapshot.
func (s *Shares) destroyUnmounted(at, parent string) error {
	sub, err := s.store.Get(at)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil && sub.ParentUUID != parent {
		err = fmt.Errorf("%w: %s is not the subvolume that was created there", be.ErrProtected, at)
	}
	if err == nil {
		err = s.checkUnmounted(sub)
	}
	if err != nil {
		return err
	}
	return s.destroy(at)
}

// entered reports whether the environment's fstab names the share.
func (s *Shares) entered(m move) (bool, error) {
	if there, err := s.isAt(m.env, m.envUUID); err != nil || !there {
		return false, err
	}
	entries, err := s.entries(m.env)
	return slices.ContainsFunc(entries, func(e fstab.Entry) bool { return e.Subvolume() == m.subvolume() }), err
}

// mounted reports whether the share is mounted at its directory.
func (s *Shares) mounted(m move) (bool, error) {
	points, err := s.machine.Points()
	return points[m.dir] == m.subvolume(), err
}

// unname deletes the copy.
func (s *Shares) unname(m move) error {
	if entered, err := s.entered(m); err != nil || entered {
		return err
	}
	if there, err := s.isAt(m.subvolume(), m.uuid); err != nil || !there {
		return err
	}
	mounted, err := s.mounted(m)
	if err == nil && mounted {
		err = errors.New("the copy is still mounted")
	}
	if err != nil {
		return err
	}
	return s.destroyUnmounted(m.subvolume(), "")
}

// changed reports whether the fingerprint of a directory in the store has changed.
func (s *Shares) changed(at, fingerprint string) (bool, error) {
	tree, err := s.openTree(at)
	if err != nil {
		return false, err
	}
	defer tree.Close()
	now, err := tree.Fingerprint()
	return now != fingerprint, err
}

// freeze sets the share read-only on all its mounts; thaw sets it writable again.
func (s *Shares) freeze(m move) error { return s.store.SetReadOnly(m.subvolume(), true) }
func (s *Shares) thaw(m move) error   { return s.store.SetReadOnly(m.subvolume(), false) }

func (s *Shares) mount(m move) error {
	text, err := fstabIn(s.store.Path(m.env))
	if err != nil {
		return err
	}
	entry, err := s.entryFor(text, m.dir, m.subvolume())
	if err != nil {
		return err
	}
	return s.machine.Mount(entry)
}

func (s *Shares) coverUp(m move) error {
	if err := s.freeze(m); err != nil {
		return err
	}
	return s.mount(m)
}

// uncover unmounts the copy and makes it writable.
func (s *Shares) uncover(m move) error {
	mounted, err := s.mounted(m)
	if err == nil && mounted {
		err = s.machine.Unmount(m.dir)
	}
	if err != nil {
		return err
	}
	return s.thaw(m)
}

func (s *Shares) takeOff(m move) error {
	if entered, err := s.entered(m); err != nil || entered {
		return err
	}
	if there, err := s.isAt(m.subvolume(), m.uuid); err != nil || !there {
		return err
	}
	return s.uncover(m)
}

// enterAll adds the share to the fstabs of all environments, the running one first.
func (s *Shares) enterAll(m move) error {
	if err := s.enter(m.env, m.dir, m.name); err != nil {
		return err
	}
	if err := s.thaw(m); err != nil {
		return err
	}
	return s.enterOthers(m)
}

func (s *Shares) enterOthers(m move) error {
	others, err := s.others(m.envUUID)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range others {
		if e.Subvolume.ReadOnly {
			continue
		}
		err := s.makeMountPoint(e.Subvolume.Path, m.env, m.dir)
		if err == nil {
			err = s.enter(e.Subvolume.Path, m.dir, m.name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// finishEntering completes the steps after the fstab named the share. Files that were
// written to the directory after it was copied stay there, below the mount.
func (s *Shares) finishEntering(m move) error {
	if entered, err := s.entered(m); err != nil || !entered {
		return err
	}
	if err := s.thaw(m); err != nil {
		return err
	}
	if err := s.enterOthers(m); err != nil {
		return err
	}
	if changed, err := s.changed(m.below(), m.old); err != nil || changed {
		return err
	}
	return s.empty(m)
}

// empty removes the files of the directory below the share.
func (s *Shares) empty(m move) error {
	if err := s.checkEntered(m); err != nil {
		return err
	}
	return s.withBelow(m, func(dir *rootfs.Root) error { return dir.Clear(".") })
}

// withBelow opens the directory below the mount.
func (s *Shares) withBelow(m move, do func(dir *rootfs.Root) error) error {
	dir, err := s.openTree(m.below())
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(dir)
}

// deviceOf returns the device number (st_dev) of the subvolume that contains a file.
func deviceOf(file string) (uint64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Dev, nil
}
