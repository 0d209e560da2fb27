package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/machine"
	"github.com/apt-be/apt-be/internal/succession"
	"github.com/apt-be/apt-be/internal/ui"
)

// syncNext prepares the environment that the machine goes to next, as the machine
// goes down and all services have been stopped: apt-be-sync.service runs it. An
// upgrade is given what happened in the running system, and the loader is told to
// boot it only then. If that can't be done, or is not done to the end, the machine
// stays with the running system: it would lose what happened.
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
	lacks, err := act.Lacks(e)
	if err != nil {
		return err
	}
	if lacks {
		if err := app.syncLast(ctx, reg, act, e); err != nil {
			return err
		}
	}
	app.depart(ctx, reg, e.Name)
	if err := app.confirm(ctx, reg, act, e.Name); err != nil {
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, err), app.stay(ctx, reg, act, e.Name, err))
	}
	return nil
}

// confirm has the loader take a trial that is wanted.
func (app *App) confirm(ctx context.Context, reg *be.Registry, act *activation.Activator, name string) error {
	return app.settled(ctx, reg, func() error {
		e, err := reg.Get(name)
		if err != nil {
			return err
		}
		return act.Confirm(e)
	})
}

// syncLast is the last sync of an environment before it is booted.
func (app *App) syncLast(ctx context.Context, reg *be.Registry, act *activation.Activator, e be.Env) error {
	if app.live() {
		machine.LeaveJournal(ctx)
	}
	began := time.Now()
	err := act.Begin(e)
	n := 0
	if err == nil {
		n, err = app.syncPrepared(ctx, reg, act, e)
	}
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
	synced := func(r *be.Record) {
		r.Held = ""
		if r.Trial != nil { // else somebody has taken it back meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	l, err := succession.Of(reg, e)
	if errors.Is(err, succession.ErrOrphan) { // it has all that there is
		return 0, app.settled(ctx, reg, func() error { return reg.Change(e, synced) })
	}
	if err != nil {
		return 0, err
	}
	found, err := app.carrier(reg).Carry(ctx, l, succession.Options{Edit: synced})
	if err != nil {
		return 0, err
	}
	return len(found.Changes), nil
}

// syncPrepared is syncTrial for an environment that a soft reboot or a kexec was
// prepared for. That is taken back meanwhile: if the work is not done to the end,
// the machine stays with the running system in these ways, too.
func (app *App) syncPrepared(ctx context.Context, reg *be.Registry, act *activation.Activator, e be.Env) (int, error) {
	if !app.live() {
		return app.syncTrial(ctx, reg, e)
	}
	nonce, err := softreboot.Prepared()
	if err == nil && nonce != "" {
		err = softreboot.Undo()
	}
	loaded := false
	if err == nil && e.Record.Trial.Method == be.Kexec {
		if loaded, err = kexec.Loaded(); err == nil && loaded {
			err = kexec.Unload()
		}
	}
	if err != nil {
		return 0, err
	}
	n, err := app.syncTrial(ctx, reg, e)
	if err == nil && nonce != "" {
		err = softreboot.Prepare(reg.Store().Device(), e.Subvolume.Path, nonce)
	}
	if err == nil && loaded {
		if e, err = reg.Get(e.Name); err == nil {
			err = loadKernel(act, e)
		}
	}
	return n, err
}

// stay has the machine boot what it boots by default, in whichever way it was to
// go to an environment, and notes why. What only lacked room or time is done by the
// next shutdown; the rest takes a decision.
func (app *App) stay(ctx context.Context, reg *be.Registry, act *activation.Activator, name string, why error) error {
	// As it ends, a process may have been told that its time is over.
	ctx = context.WithoutCancel(ctx)
	return app.settled(ctx, reg, func() error {
		e, err := reg.Get(name)
		if err != nil {
			return err
		}
		note := ui.Printable(why.Error())
		if t := e.Record.Trial; t != nil && t.Method == be.Reboot && passing(why) {
			return errors.Join(app.unprepare(), act.Postpone(e, note))
		}
		return errors.Join(app.unprepare(), act.Hold(e, note))
	})
}

// passing says whether what went wrong may go well the next time, without anybody
// deciding on anything.
func passing(why error) bool {
	return durable.Unwritable(why) || errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded)
}
