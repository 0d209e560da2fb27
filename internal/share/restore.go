package share

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/txn"
)

// RestoreOptions are the options of PlanRestore.
type RestoreOptions struct {
	NameOrPath string // the share's name, or its mount point in the running environment
	From       string // the environment that the machine left for
	InPlace    bool   // replace the present data
}

// Restoration is a share snapshot that can be restored.
type Restoration struct {
	Share    Share
	Snapshot Snapshot
	Running  be.Env
	Dir      string // the new directory in the running environment; "" if in place
	Kept     string // in place: the share that gets the present data
}

// PlanRestore checks whether a share snapshot can be restored. Errors: *Refusal,
// ErrNotFound.
func (s *Shares) PlanRestore(o RestoreOptions) (*Restoration, error) {
	r, err := s.planRestore(o)
	if err != nil {
		return nil, fmt.Errorf("cannot restore the share %s: %w", o.NameOrPath, err)
	}
	return r, nil
}

func (s *Shares) planRestore(o RestoreOptions) (*Restoration, error) {
	share, running, err := s.findHere(o.NameOrPath)
	if err != nil {
		return nil, err
	}
	if _, err := s.registry.Get(o.From); err != nil {
		return nil, err
	}
	r := &Restoration{Share: share, Running: running}
	for _, past := range share.Snapshots {
		if past.Env.Name == o.From {
			r.Snapshot = past
		}
	}
	if r.Snapshot.UUID == "" {
		return nil, refuse("there is no snapshot of it from the time when the machine left for %s", o.From).
			hint("apt-be share list --json lists the snapshots")
	}
	if !share.MountedBy(running) {
		return nil, refuse("the running boot environment does not mount it")
	}
	if err := s.quiet(); err != nil {
		return nil, err
	}
	if o.InPlace {
		r.Kept = share.Name + "-" + be.AutoName(time.Now(), func(day string) bool {
			return s.checkFree(share.Name+"-"+day) != nil
		})
		return r, s.checkIdle(share)
	}
	r.Dir = share.Path + "." + o.From
	return r, s.checkBeside(r)
}

// checkBeside refuses if no directory can be created beside the share.
func (s *Shares) checkBeside(r *Restoration) error {
	points, err := s.machine.Points()
	if err != nil {
		return err
	}
	if err := checkMounts(r.Dir, points); err != nil {
		return err
	}
	root, err := rootfs.Open(s.store.Path(r.Running.Subvolume.Path))
	if err != nil {
		return err
	}
	defer root.Close()
	if up := path.Dir(r.Dir); up != "/" {
		if err := checkWay(root, up); err != nil {
			return err
		}
	}
	node, err := root.Node(strings.TrimPrefix(r.Dir, "/"))
	if err == nil && node.Kind != merge.Missing {
		err = refuse("%s already exists", r.Dir)
	}
	return err
}

// Restore restores a share snapshot. The caller holds the Lock and has called
// PlanRestore since. An error undoes everything.
func (s *Shares) Restore(ctx context.Context, r *Restoration) error {
	restore := s.restoreInPlace
	if r.Dir != "" {
		restore = s.restoreBeside
	}
	t, err := s.registry.Transaction("restoring the share " + r.Share.Name)
	if err == nil {
		if err = restore(ctx, t, r); err == nil {
			err = s.end(t)
		}
		if err != nil {
			err = errors.Join(err, t.Rollback(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot restore the share %s: %w", r.Share.Name, err)
	}
	return nil
}

func (s *Shares) restoreBeside(ctx context.Context, t *txn.Txn, r *Restoration) error {
	hidden := restoring(path.Dir(r.Dir), t.ID)
	args := txn.Args{"env": r.Running.Subvolume.Path, "env-uuid": r.Running.Subvolume.UUID, "from": hidden, "to": r.Dir}
	if err := t.Do(ctx, txn.Step{Kind: stepPrepare, Args: args}); err != nil {
		return err
	}
	to, from, err := s.openTrees(r.Running.Subvolume.Path+hidden, r.Snapshot.Subvolume.Path)
	if err != nil {
		return err
	}
	defer to.Close()
	defer from.Close()
	if err := copyTree(ctx, s.mirror(to, from)); err != nil {
		return err
	}
	if err := s.store.Sync(); err != nil {
		return err
	}
	return t.Do(ctx, txn.Step{Kind: stepShow, Args: args})
}

func (s *Shares) restoreInPlace(ctx context.Context, t *txn.Txn, r *Restoration) error {
	m := move{
		name: r.Share.Name, uuid: r.Share.Subvolume.UUID, dir: r.Share.Path, fresh: Dir + "/" + r.Kept,
		env: r.Running.Subvolume.Path, envUUID: r.Running.Subvolume.UUID,
	}
	var err error
	if m.wasMounted, err = s.mounted(m); err != nil {
		return err
	}
	clone := m.step(stepClone)
	clone.Args["src"], clone.Args["parent"] = r.Snapshot.Subvolume.Path, r.Snapshot.Subvolume.UUID
	if err := t.Do(ctx, clone); err != nil {
		return err
	}
	if !m.wasMounted {
		return t.Do(ctx, m.step(stepSwap))
	}
	err = s.withBelow(m, func(dir *rootfs.Root) error {
		sealed, err := dir.Sealed(".")
		m.seal = !sealed
		return err
	})
	if err != nil {
		return err
	}
	for _, kind := range []string{stepSeal, stepSwap} {
		if err := t.Do(ctx, m.step(kind)); err != nil {
			return err
		}
	}
	if err := s.mount(m); err != nil {
		return err
	}
	return s.unseal(m)
}

// bare unmounts a share temporarily. Meanwhile the directory below is sealed, so that
// no process can write to it.
func (s *Shares) bare(m move) error {
	if m.seal {
		if err := s.withBelow(m, func(dir *rootfs.Root) error { return dir.Seal(".") }); err != nil {
			return err
		}
	}
	return s.lower(m)
}

func (s *Shares) unseal(m move) error {
	if !m.seal {
		return nil
	}
	return s.withBelow(m, func(dir *rootfs.Root) error {
		dir.Unseal(".")
		return nil
	})
}

// The kinds of steps that restore a share snapshot.
const (
	stepPrepare = "share-prepare" // creates an empty directory with a temporary name
	stepShow    = "share-show"    // gives the directory its name

	stepClone = "share-clone" // creates a share as a copy of the snapshot
	stepSeal  = "share-seal"  // seals the directory, and unmounts the present share
	stepSwap  = "share-swap"  // exchanges the names of the two shares; the mounted one counts
)

// restoreHandlers returns the handlers of these steps.
func (s *Shares) restoreHandlers() txn.Handlers {
	return txn.Handlers{
		stepPrepare: {
			Check: checkBeside,
			Do:    func(_ context.Context, a txn.Args) error { return s.inDir(a["env"], a["from"], makeDir) },
			Undo: s.last(func(a txn.Args) error {
				if there, err := s.isAt(a["env"], a["env-uuid"]); err != nil || !there {
					return err
				}
				return s.clear(a["env"], a["from"])
			}),
		},
		stepShow: {
			Check: checkBeside,
			Do: func(_ context.Context, a txn.Args) error {
				return s.inDir(a["env"], a["from"], func(dir int, name string) error {
					return unix.Renameat2(dir, name, dir, path.Base(a["to"]), unix.RENAME_NOREPLACE)
				})
			},
			Undo: func(context.Context, txn.Args) error { return nil },
		},
		stepClone: {
			Check: checkClone,
			Do:    func(_ context.Context, a txn.Args) error { return s.store.Snapshot(a["src"], a["from"], false) },
			Undo: s.last(func(a txn.Args) error {
				// After the exchange, the other share has this name.
				if other, err := s.isAt(a["from"], a["uuid"]); err != nil || other {
					return err
				}
				return s.destroyUnmounted(a["from"], a["parent"])
			}),
		},
		stepSeal: {
			Check: checkInPlace,
			Do:    func(_ context.Context, a txn.Args) error { return s.bare(moveIn(a)) },
			Undo: func(_ context.Context, a txn.Args) error {
				m := moveIn(a)
				bared, err := s.bared(m)
				if err == nil && bared {
					err = s.mount(m)
				}
				if err != nil {
					return err
				}
				return s.unseal(m)
			},
		},
		stepSwap: {
			Check: checkInPlace,
			Do: func(_ context.Context, a txn.Args) error {
				return s.store.Exchange(Dir+"/"+a["share"], a["from"])
			},
			Undo: func(_ context.Context, a txn.Args) error { return s.unswap(moveIn(a)) },
		},
	}
}

// unswap exchanges the names back, unless the restored share is mounted.
func (s *Shares) unswap(m move) error {
	swapped, err := s.isAt(m.fresh, m.uuid)
	if err != nil || !swapped {
		return err
	}
	if mounted, err := s.mounted(m); err != nil || mounted {
		return err
	}
	return s.store.Exchange(m.fresh, m.subvolume())
}

// inDir calls do with the parent directory of a path in an environment, and the last
// name.
func (s *Shares) inDir(env, file string, do func(dir int, name string) error) error {
	dir, err := inroot.OpenDir(s.store.Path(env), path.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := do(int(dir.Fd()), path.Base(file)); err != nil {
		return fmt.Errorf("cannot make %s: %w", file, err)
	}
	return dir.Sync()
}

func makeDir(dir int, name string) error { return unix.Mkdirat(dir, name, 0o700) }

// clear removes a path of an environment.
func (s *Shares) clear(env, file string) error {
	root, err := rootfs.OpenTree(s.store.Path(env), "")
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Clear(strings.TrimPrefix(file, "/"))
}
