package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/txn"
)

// syncer returns the catchup.Syncer for the open registry.
func (app *App) syncer(reg *be.Registry) *catchup.Syncer {
	return &catchup.Syncer{
		Registry:     reg,
		Sandbox:      app.launcher(reg),
		Notice:       app.notice(),
		LockEnv:      func(ctx context.Context, e be.Env) (*txn.Lock, error) { return app.use(ctx, reg, e) },
		LockPackages: func(ctx context.Context, e be.Env) (func(), error) { return app.hold(ctx, reg, e) },
		MountPoints:  func(e be.Env) []string { return app.Mounted(reg.Store(), e) },
		OnRecovered:  app.tellRecovered,
	}
}

// pairOfRunning is catchup.PairOf for an environment that was made from the running
// system; for others it fails.
func pairOfRunning(reg *be.Registry, e be.Env) (catchup.Pair, error) {
	l, err := catchup.PairOf(reg, e)
	if err == nil && !l.Source.Running {
		err = errors.New("it was not made from the running system")
	}
	if err != nil {
		return l, fmt.Errorf("cannot determine the changes since %s was made: %w", e.Name, err)
	}
	return l, nil
}

// replayPackages repeats the package changes of the running system in an environment,
// and carries all other changes. would reports that this is a dry run, after which the
// caller must stop.
func (app *App) replayPackages(ctx context.Context, name string) (would bool, err error) {
	reg, done, err := app.registry()
	if err != nil {
		return false, err
	}
	defer done()
	e, err := reg.Get(name)
	if err != nil {
		return false, err
	}
	l, err := pairOfRunning(reg, e)
	if err != nil {
		return false, err
	}
	changed, err := l.PackagesChanged()
	if err != nil || !changed {
		return false, err
	}
	if app.would("repeat in the packages of %s the changes of %s", e.Name, l.Source.Name) {
		return true, nil
	}
	life, _ := app.lifecycle(reg) // a replay needs no boot loader
	err = life.Replay(ctx, e)
	if err != nil {
		return false, err
	}
	if e, err = reg.Get(name); err != nil {
		return false, err
	}
	return false, app.describe(ctx, reg, e)
}

// warnOfInitramfs warns if files of the initramfs changed.
func (app *App) warnOfInitramfs(e be.Env, found *drift.Drift) {
	if catchup.NeedsInitramfs(found) {
		app.notice().Warn("Files of the initramfs changed. To update it, run apt-be sync %s, and then apt-be run %s -- update-initramfs -u", e.Name, e.Name)
	}
}
