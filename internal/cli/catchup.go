package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/host"
)

// catchUp syncs an environment early in its first boot, if syncAtShutdown did not: the
// user has selected it in the boot menu. The running root cannot be replaced while it
// runs. So a copy with all changes takes its place, and the machine boots once more,
// into the copy; then leaving is true.
func (app *App) catchUp(ctx context.Context, nonce string) (leaving bool, err error) {
	reg, done, err := app.registry()
	if err != nil {
		return false, err
	}
	defer done()
	act, err := app.activator()
	if errors.Is(err, be.ErrNotSetUp) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e, err := reg.Running()
	if err != nil || !lacksSync(e) {
		return false, err
	}
	if _, err := catchup.PairOf(reg, e); errors.Is(err, catchup.ErrNoSource) {
		return false, nil
	}
	err = app.settled(ctx, reg, func() error { return app.armAgain(ctx, reg, act) })
	if err == nil {
		var armed be.Env
		if armed, err = reg.Running(); err == nil {
			_, err = app.syncTrial(ctx, reg, armed)
		}
	}
	if err == nil {
		app.depart(ctx, reg, e.Name)
		if err := app.confirm(ctx, reg, act, e.Name); err != nil {
			// The running root is no longer in the registry.
			return true, errors.Join(fmt.Errorf("cannot boot %s again: %w", e.Name, err), app.leave(ctx))
		}
		app.Log.Warnf("%s lacked the latest changes of the old system: the machine boots it once more", e.Name)
		return true, app.leave(ctx)
	}
	lacks := fmt.Errorf("cannot carry the changes of the old system to %s: %w", e.Name, err)
	if nonce == "" {
		// The user has selected it in the menu, and may have no other choice.
		return false, errors.Join(lacks, app.settled(ctx, reg, act.Disarm))
	}
	return true, errors.Join(lacks, app.stay(ctx, reg, act, e.Name, err), app.leave(ctx))
}

// lacksSync reports whether the running environment boots for the first time without
// the changes of its origin.
func lacksSync(e be.Env) bool {
	t := e.Record.Trial
	return e.NeverBooted() && (t == nil || t.Started.IsZero() && t.Synced.IsZero())
}

// armAgain arms a trial of the running environment, with the options of the present
// trial.
func (app *App) armAgain(ctx context.Context, reg *be.Registry, act *activation.Activator) error {
	e, err := reg.Running()
	if err != nil {
		return err
	}
	o, err := app.trialOptions(ctx, be.Reboot)
	if err != nil {
		return err
	}
	if t := e.Record.Trial; t != nil {
		o.Once, o.Deadline, o.Units = t.Once, t.Deadline, t.Units
	}
	o.NoFallback = true // the risk was accepted before
	_, err = act.Arm(e, o)
	return err
}

// leave reboots and blocks until the machine goes down.
func (app *App) leave(ctx context.Context) error {
	if !app.live() {
		return nil
	}
	if err := host.Reboot(ctx); err != nil {
		return err
	}
	// Units after this one must not start.
	<-ctx.Done()
	return ctx.Err()
}
