package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// life is what the system that an environment was made of went through since.
type life struct {
	e, live be.Env
	sides   drift.Sides
	rules   merge.Rules // the live system's
	// packages does to the packages of the environment, which is being built and
	// locked, what was done to those of the live system; nil if that is refused.
	packages func(sides drift.Sides, lock *txn.Lock) error
}

// errOrphan says that nothing can have happened to what an environment was made
// of: it is gone.
var errOrphan = errors.New("what it was made of is not there any more")

// lifeOf finds what an environment was made of and with.
func lifeOf(reg *be.Registry, e be.Env) (life, error) {
	base, err := reg.BaseOf(e)
	if errors.Is(err, be.ErrNotFound) {
		return life{}, errors.New("there is no snapshot of what it was made from")
	}
	if err != nil {
		return life{}, err
	}
	envs, err := reg.List()
	if err != nil {
		return life{}, err
	}
	for _, live := range envs {
		if live.Subvolume.UUID != base.ParentUUID {
			continue
		}
		rules, err := readRules(reg.Store().Path(live.Subvolume.Path))
		sides := drift.Sides{
			Base: base.Path, Live: live.Subvolume.Path, Running: live.Subvolume.Path, Next: e.Subvolume.Path, Forked: e.Forked(),
		}
		return life{e: e, live: live, sides: sides, rules: rules}, err
	}
	return life{}, errOrphan
}

// lifeOfRunning is lifeOf for one that was made of the running system: who asks
// for another one's has mistaken it.
func (app *App) lifeOfRunning(reg *be.Registry, e be.Env) (life, error) {
	l, err := lifeOf(reg, e)
	if err == nil && !l.live.Running {
		err = errors.New("it was not made of the running system")
	}
	if err != nil {
		return l, fmt.Errorf("cannot tell what happened since %s was made: %w", e.Name, err)
	}
	return l, nil
}

// find compares, and changes nothing.
func (l life) find(st store.Store) (*drift.Drift, error) {
	found, err := drift.Find(st, l.sides, l.rules)
	if err != nil {
		return nil, err
	}
	found.Settle()
	return found, nil
}

// LookAtDrift tells in words what happened in the system that an environment was
// made of, "" if nothing did, and why the environment could not be given that, if
// so. Nothing is changed.
func LookAtDrift(reg *be.Registry) func(e be.Env) (summary string, err error) {
	return func(e be.Env) (string, error) {
		l, err := lifeOf(reg, e)
		if errors.Is(err, errOrphan) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		found, err := l.find(reg.Store())
		if err != nil {
			return "", err
		}
		return found.Count().String(), found.CheckRefused()
	}
}

// synclist has the admin's rules.
const synclist = "/etc/apt-be/synclist"

// readRules returns the default rules and those of a root's admin.
func readRules(root string) (merge.Rules, error) {
	content, err := inroot.ReadFile(root, synclist)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the synclist: %w", err)
	}
	own, err := merge.ParseRules(synclist, content)
	if err != nil {
		return nil, fmt.Errorf("cannot read the synclist: %w", err)
	}
	return append(merge.DefaultRules(), own...), nil
}

// carryOver has an environment take the place of l.e that is a copy of it, to
// which what l tells was carried over. edit changes its record besides. The drift
// that it returns is what was carried over.
func (app *App) carryOver(ctx context.Context, reg *be.Registry, l life, edit func(*be.Record)) (*drift.Drift, error) {
	found, err := app.tryCarryOver(ctx, reg, l, edit)
	if err != nil {
		return nil, fmt.Errorf("cannot bring %s up to date with %s: %w", l.e.Name, l.live.Name, err)
	}
	return found, nil
}

func (app *App) tryCarryOver(ctx context.Context, reg *be.Registry, l life, edit func(*be.Record)) (*drift.Drift, error) {
	lock, err := app.use(ctx, reg, l.e)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	release, err := app.hold(ctx, reg, l.live)
	if err != nil {
		return nil, err
	}
	build, recovered, err := reg.Renew(ctx, l.e, l.live)
	release()
	app.tellRecovered(recovered)
	if err != nil {
		return nil, err
	}
	found, err := l.change(reg.Store(), build, lock)
	if err == nil {
		err = app.unmounted(reg, l.e)
	}
	if err != nil {
		return nil, errors.Join(err, build.Discard(ctx))
	}
	app.derive(reg, l.e, build, found, lock)
	_, err = build.Replace(ctx, l.e, edit)
	return found, err
}

// unmounted returns an error if somebody may be changing an environment that is
// about to be replaced. What runs is mounted, of course.
func (app *App) unmounted(reg *be.Registry, e be.Env) error {
	if e.Running {
		return nil
	}
	if at := app.Mounted(reg.Store(), e); len(at) > 0 {
		return fmt.Errorf("%w: %s is mounted at %s", be.ErrProtected, e.Name, at[0])
	}
	return nil
}

// change changes an environment that is being built.
func (l life) change(st store.Store, build *be.Build, lock *txn.Lock) (*drift.Drift, error) {
	l.sides.Live, l.sides.Next = build.Base, build.Path
	changed, err := drift.PackagesChanged(st, l.sides)
	if err == nil && changed {
		if l.packages == nil {
			return nil, drift.ErrPackages
		}
		err = l.packages(l.sides, lock)
	}
	if err != nil {
		return nil, err
	}
	found, err := l.find(st)
	if err != nil {
		return nil, err
	}
	if err := found.Carry(st, l.sides); err != nil {
		return nil, err
	}
	for _, path := range found.Nested {
		if err := build.TakeNested(l.live, path); err != nil {
			return nil, err
		}
	}
	// An fstab that came from the running system names that.
	return found, redirect.SetRoot(st.Path(build.Path), l.e.Subvolume.Path)
}
