package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/machine"
	"github.com/apt-be/apt-be/internal/succession"
	"github.com/apt-be/apt-be/internal/ui"
)

// syncNext prepares the environment that the machine goes to next, as the machine
// goes down and all services have been stopped: apt-be-sync.service runs it. An
// upgrade is given what happened in the running system. If that can't be done, the
// machine stays with the running system: it would lose what happened.
func (app *App) syncNext(ctx context.Context, reg *be.Registry) error {
	act, err := app.activator()
	if errors.Is(err, be.ErrNotSetUp) {
		return nil
	}
	if err != nil {
		return err
	}
	e, ok, err := destination(reg, act)
	if err != nil || !ok {
		return err
	}
	if app.live() && !machine.Stopping(ctx) {
		app.notice().Say("The running system is not going down: apt-be sync %s carries over now what happened in it.", e.Name)
		return nil
	}
	if e.Unreadable != nil && e.Armed {
		// Nothing tells what it lacks of what happened here.
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, e.Unreadable), app.stay(ctx, reg, act, e.Name, e.Unreadable))
	}
	if t := e.Record.Trial; e.Pending() && t != nil && t.Synced.IsZero() {
		if err := app.syncLast(ctx, reg, act, e); err != nil {
			return err
		}
	}
	app.depart(ctx, reg, e.Name)
	return nil
}

// syncLast is the last sync of an environment before it is booted.
func (app *App) syncLast(ctx context.Context, reg *be.Registry, act *activation.Activator, e be.Env) error {
	if app.live() {
		machine.LeaveJournal(ctx)
	}
	began := time.Now()
	n, err := app.syncPrepared(ctx, reg, e)
	if err != nil {
		if app.live() {
			machine.ReturnToJournal(ctx)
		}
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, err), app.stay(ctx, reg, act, e.Name, err))
	}
	app.notice().Say("What happened since %s was made is in it now (files: %d, seconds: %.2f).", e.Name, n, time.Since(began).Seconds())
	return nil
}

// syncTrial brings an environment on trial up to date, and returns how many files
// that concerned.
func (app *App) syncTrial(ctx context.Context, reg *be.Registry, e be.Env) (int, error) {
	l, err := succession.Of(reg, e)
	if err != nil {
		return 0, err
	}
	synced := func(r *be.Record) {
		if r.Trial != nil { // else somebody has taken it back meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	found, err := app.carrier(reg).Carry(ctx, l, succession.Options{Edit: synced})
	if err != nil {
		return 0, err
	}
	return len(found.Changes), nil
}

// syncPrepared is syncTrial for an environment that may be mounted for a soft
// reboot: what takes its place is mounted then.
func (app *App) syncPrepared(ctx context.Context, reg *be.Registry, e be.Env) (int, error) {
	if !app.live() {
		return app.syncTrial(ctx, reg, e)
	}
	nonce, err := softreboot.Prepared()
	if err == nil && nonce != "" {
		err = softreboot.Undo()
	}
	if err != nil {
		return 0, err
	}
	n, err := app.syncTrial(ctx, reg, e)
	if err == nil && nonce != "" {
		err = softreboot.Prepare(reg.Store().Device(), e.Subvolume.Path, nonce)
	}
	return n, err
}

// stay has the machine boot what it boots by default, in whichever way it was to
// go to an environment, and notes why.
func (app *App) stay(ctx context.Context, reg *be.Registry, act *activation.Activator, name string, why error) error {
	return app.settled(ctx, reg, func() error {
		e, err := reg.Get(name)
		if err != nil {
			return err
		}
		return errors.Join(app.unprepare(), act.Hold(e, ui.Printable(why.Error())))
	})
}
