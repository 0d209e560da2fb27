package catchup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/overlay"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// Syncer carries the changes of a source to a target.
type Syncer struct {
	Registry     *be.Registry
	Sandbox      Sandbox
	Notice       *ui.Notice
	LockEnv      func(ctx context.Context, e be.Env) (*txn.Lock, error)          // locks an environment against other users
	LockPackages func(ctx context.Context, e be.Env) (release func(), err error) // locks an environment's packages, even if it runs
	MountPoints  func(e be.Env) []string                                         // mount points, where other processes may still write
	OnRecovered  func(recovered []txn.Recovered)                                 // is called with the results of recovery
}

// Sandbox runs commands in environments. An *inside.Launcher implements it.
type Sandbox interface {
	// Execute runs a command. The keep files stay open until it has ended.
	Execute(root inside.Root, path string, argv []string, keep ...*os.File) (inside.Exit, error)
}

// Options are the options of Sync.
type Options struct {
	// Replay repeats the source's package changes in the target. Without it, package
	// changes lead to a drift.ErrPackages.
	Replay bool
	// BeforeCommit, if not nil, works in the copy before it replaces the target. If it
	// fails, or ends the build, the target stays unchanged.
	BeforeCommit func(build *be.Build) (ended bool, err error)
	// EditRecord, if not nil, changes the target's record.
	EditRecord func(*be.Record)
}

// Sync atomically replaces the target with a copy that contains the source's changes,
// and returns the drift. If it fails, the target stays unchanged.
func (c *Syncer) Sync(ctx context.Context, p Pair, o Options) (*drift.Drift, error) {
	found, err := c.sync(ctx, p, o)
	if err != nil {
		return nil, fmt.Errorf("cannot carry the changes of %s to %s: %w", p.Source.Name, p.Target.Name, err)
	}
	return found, nil
}

func (c *Syncer) sync(ctx context.Context, p Pair, o Options) (*drift.Drift, error) {
	if err := c.CheckUnmounted(p.Target); err != nil {
		return nil, err
	}
	lock, err := c.LockEnv(ctx, p.Target)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	release, err := c.LockPackages(ctx, p.Source)
	if err != nil {
		return nil, err
	}
	build, recovered, err := c.Registry.Renew(ctx, p.Target, p.Source, p.parts)
	release()
	c.OnRecovered(recovered)
	if err != nil {
		return nil, err
	}
	w := work{Syncer: c, Pair: p, lock: lock.File(), built: build.Record}
	found, err := w.change(build, o.Replay)
	if err == nil && o.BeforeCommit != nil {
		var ended bool
		if ended, err = o.BeforeCommit(build); ended {
			return found, err
		}
	}
	if err == nil {
		err = c.CheckUnmounted(p.Target)
	}
	if err != nil {
		return nil, errors.Join(err, build.Discard(ctx))
	}
	edit := o.EditRecord
	if edit == nil {
		edit = func(*be.Record) {}
	}
	_, err = build.Replace(ctx, p.Target, edit)
	return found, err
}

// CheckUnmounted fails if an environment is mounted where another process may change
// it. The running environment may be mounted.
func (c *Syncer) CheckUnmounted(e be.Env) error {
	if e.Running {
		return nil
	}
	if at := c.MountPoints(e); len(at) > 0 {
		return fmt.Errorf("%w: %s is mounted at %s", be.ErrProtected, e.Name, at[0])
	}
	return nil
}

// work is the state of a Sync: the copy under construction, and a snapshot of the
// source to compare it with.
type work struct {
	*Syncer
	Pair
	lock  *os.File // of the target
	built be.Record
}

func (w work) change(build *be.Build, replay bool) (*drift.Drift, error) {
	// Recovery may have moved the base.
	base, err := w.Registry.BaseOf(w.Target)
	if err != nil {
		return nil, err
	}
	w.sides.Base, w.sides.Running, w.sides.Target, w.sides.Parts = base.Path, build.Base, build.Path, nil
	w.dir = w.store.Path(build.Base)
	changed, err := w.PackagesChanged()
	if err == nil && changed {
		if !replay {
			return nil, drift.ErrPackages
		}
		err = w.replay()
	}
	if err != nil {
		return nil, err
	}
	found, err := w.Drift()
	if err != nil {
		return nil, err
	}
	if err := found.Apply(w.store, w.sides); err != nil {
		return nil, err
	}
	if err := w.renumberLayers(found); err != nil {
		return nil, err
	}
	for _, place := range found.NewSubvolumes {
		if err := build.CopyFromBase(place); err != nil {
			return nil, err
		}
	}
	// A carried fstab names the source's subvolume.
	if err := rootconf.SetRoot(w.store, build.Path, w.Target.Subvolume.Path, build.Record.Parts); err != nil {
		return nil, err
	}
	w.derive(found)
	w.commit(found)
	return found, nil
}

// renumberLayers changes the owners of files in the target's scratch directories
// according to the target's new account numbers.
func (w work) renumberLayers(found *drift.Drift) error {
	if len(found.Renumbered) == 0 {
		return nil
	}
	layers, err := overlay.Layers(w.store.Path(be.ScratchDir(w.Target.Subvolume.UUID)), "/", w.store.Path(w.sides.Target))
	if err != nil {
		return err
	}
	users, groups := found.Numbers()
	for _, layer := range layers {
		if err := layer.Renumber(users, groups); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command in the copy.
func (w work) run(path string, argv []string) (inside.Exit, error) {
	root := inside.Root{Name: w.Target.Name, Subvolume: w.sides.Target, UUID: w.Target.Subvolume.UUID, Parts: w.built.Parts}
	return w.Sandbox.Execute(root, path, argv, w.lock)
}
