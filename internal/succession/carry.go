package succession

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

// Carrier carries over what happened.
type Carrier struct {
	Registry *be.Registry
	Sandbox  Sandbox
	Notice   *ui.Notice
	Use      func(ctx context.Context, e be.Env) (*txn.Lock, error)          // nobody else changes an environment
	Hold     func(ctx context.Context, e be.Env) (release func(), err error) // nobody changes its packages, also if it runs
	Mounted  func(e be.Env) []string                                         // where somebody may change it all the same
	Settled  func(recovered []txn.Recovered)                                 // is told what earlier runs had left
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
	Then func(build *be.Build) (ended bool, err error)
	// Edit changes the record of the environment; nil changes nothing.
	Edit func(*be.Record)
}

// Carry has an environment take the place of l.Heir that is a copy of it, to which
// what happened was carried over: at one stroke, or not at all. The drift that it
// returns is what was carried over.
func (c *Carrier) Carry(ctx context.Context, l Life, o Options) (*drift.Drift, error) {
	found, err := c.carry(ctx, l, o)
	if err != nil {
		return nil, fmt.Errorf("cannot bring %s up to date with %s: %w", l.Heir.Name, l.Live.Name, err)
	}
	return found, nil
}

func (c *Carrier) carry(ctx context.Context, l Life, o Options) (*drift.Drift, error) {
	if err := c.CheckUnmounted(l.Heir); err != nil {
		return nil, err
	}
	lock, err := c.Use(ctx, l.Heir)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	release, err := c.Hold(ctx, l.Live)
	if err != nil {
		return nil, err
	}
	build, recovered, err := c.Registry.Renew(ctx, l.Heir, l.Live, l.parts)
	release()
	c.Settled(recovered)
	if err != nil {
		return nil, err
	}
	w := work{Carrier: c, Life: l, lock: lock.File(), built: build.Record}
	found, err := w.change(build, o.Replay)
	if err == nil && o.Then != nil {
		var ended bool
		if ended, err = o.Then(build); ended {
			return found, err
		}
	}
	if err == nil {
		err = c.CheckUnmounted(l.Heir)
	}
	if err != nil {
		return nil, errors.Join(err, build.Discard(ctx))
	}
	edit := o.Edit
	if edit == nil {
		edit = func(*be.Record) {}
	}
	_, err = build.Replace(ctx, l.Heir, edit)
	return found, err
}

// CheckUnmounted returns an error if somebody may be changing an environment that
// is about to be replaced. What runs is mounted, of course.
func (c *Carrier) CheckUnmounted(e be.Env) error {
	if e.Running {
		return nil
	}
	if at := c.Mounted(e); len(at) > 0 {
		return fmt.Errorf("%w: %s is mounted at %s", be.ErrProtected, e.Name, at[0])
	}
	return nil
}

// work is on an environment that is being built, which a snapshot of the live
// system is compared with.
type work struct {
	*Carrier
	Life
	lock  *os.File // of the environment that is to be replaced
	built be.Record
}

func (w work) change(build *be.Build, replay bool) (*drift.Drift, error) {
	// What was recovered from before may have moved the base.
	base, err := w.Registry.BaseOf(w.Heir)
	if err != nil {
		return nil, err
	}
	w.sides.Base, w.sides.Live, w.sides.Next, w.sides.Parts = base.Path, build.Base, build.Path, nil
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
	if err := found.Carry(w.store, w.sides); err != nil {
		return nil, err
	}
	if err := w.renumberLayers(found); err != nil {
		return nil, err
	}
	for _, place := range found.Fresh {
		if err := build.TakeInner(place); err != nil {
			return nil, err
		}
	}
	// An fstab that came from the running system names that.
	if err := redirect.SetRoot(w.store, build.Path, w.Heir.Subvolume.Path, build.Record.Parts); err != nil {
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
	layers, err := overlay.Layers(w.store.Path(be.ScratchDir(w.Heir.Subvolume.UUID)), "/", w.store.Path(w.sides.Next))
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
	root := redirect.Root{Name: w.Heir.Name, Subvolume: w.sides.Next, UUID: w.Heir.Subvolume.UUID, Parts: w.built.Parts}
	return w.Sandbox.Execute(root, path, argv, w.lock)
}
