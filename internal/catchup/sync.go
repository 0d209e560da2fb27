package catchup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/overlay"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// Syncer carries over what happened.
type Syncer struct {
	Registry     *be.Registry
	Sandbox      Sandbox
	Notice       *ui.Notice
	LockEnv      func(ctx context.Context, e be.Env) (*txn.Lock, error)          // nobody else changes an environment
	LockPackages func(ctx context.Context, e be.Env) (release func(), err error) // nobody changes its packages, also if it runs
	MountPoints  func(e be.Env) []string                                         // where somebody may change it all the same
	OnRecovered  func(recovered []txn.Recovered)                                 // is told what earlier runs had left
}

// Sandbox runs commands in environments: a *redirect.Supervisor.
type Sandbox interface {
	// Execute runs a command; the keep files are held until it has ended.
	Execute(root redirect.Root, path string, argv []string, keep ...*os.File) (redirect.Exit, error)
}

// Options say how to carry over.
type Options struct {
	// Replay has the same done to the packages of the environment as was done to
	// those of the live system. Without it, if any was, that is a drift.ErrPackages.
	Replay bool
	// Then works in the copy before it takes the place of the environment, unless
	// it is nil. If it fails nothing takes any place, nor if it has ended the build.
	BeforeCommit func(build *be.Build) (ended bool, err error)
	// Edit changes the record of the environment; nil changes nothing.
	EditRecord func(*be.Record)
}

// Sync has an environment take the place of l.Heir that is a copy of it, to which
// what happened was carried over: at one stroke, or not at all. The drift that it
// returns is what was carried over.
func (c *Syncer) Sync(ctx context.Context, l Pair, o Options) (*drift.Drift, error) {
	found, err := c.sync(ctx, l, o)
	if err != nil {
		return nil, fmt.Errorf("cannot carry the changes of %s to %s: %w", l.Source.Name, l.Target.Name, err)
	}
	return found, nil
}

func (c *Syncer) sync(ctx context.Context, l Pair, o Options) (*drift.Drift, error) {
	if err := c.CheckUnmounted(l.Target); err != nil {
		return nil, err
	}
	lock, err := c.LockEnv(ctx, l.Target)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	release, err := c.LockPackages(ctx, l.Source)
	if err != nil {
		return nil, err
	}
	build, recovered, err := c.Registry.Renew(ctx, l.Target, l.Source, l.parts)
	release()
	c.OnRecovered(recovered)
	if err != nil {
		return nil, err
	}
	w := work{Syncer: c, Pair: l, lock: lock.File(), built: build.Record}
	found, err := w.change(build, o.Replay)
	if err == nil && o.BeforeCommit != nil {
		var ended bool
		if ended, err = o.BeforeCommit(build); ended {
			return found, err
		}
	}
	if err == nil {
		err = c.CheckUnmounted(l.Target)
	}
	if err != nil {
		return nil, errors.Join(err, build.Discard(ctx))
	}
	edit := o.EditRecord
	if edit == nil {
		edit = func(*be.Record) {}
	}
	_, err = build.Replace(ctx, l.Target, edit)
	return found, err
}

// CheckUnmounted returns an error if somebody may be changing an environment that
// is about to be replaced. What runs is mounted, of course.
func (c *Syncer) CheckUnmounted(e be.Env) error {
	if e.Running {
		return nil
	}
	if at := c.MountPoints(e); len(at) > 0 {
		return fmt.Errorf("%w: %s is mounted at %s", be.ErrProtected, e.Name, at[0])
	}
	return nil
}

// work is on an environment that is being built, which a snapshot of the live
// system is compared with.
type work struct {
	*Syncer
	Pair
	lock  *os.File // of the environment that is to be replaced
	built be.Record
}

func (w work) change(build *be.Build, replay bool) (*drift.Drift, error) {
	// What was recovered from before may have moved the base.
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
	// An fstab that came from the running system names that.
	if err := redirect.SetRoot(w.store, build.Path, w.Target.Subvolume.Path, build.Record.Parts); err != nil {
		return nil, err
	}
	w.derive(found)
	w.commit(found)
	return found, nil
}

// renumberLayers gives what the environment wrote to other file systems the numbers
// that its accounts have now.
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

// run runs a command in the environment.
func (w work) run(path string, argv []string) (redirect.Exit, error) {
	root := redirect.Root{Name: w.Target.Name, Subvolume: w.sides.Target, UUID: w.Target.Subvolume.UUID, Parts: w.built.Parts}
	return w.Sandbox.Execute(root, path, argv, w.lock)
}
