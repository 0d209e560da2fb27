package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/drift"
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
	found, err := app.syncPrepared(ctx, reg, e)
	if err != nil {
		if app.live() {
			machine.ReturnToJournal(ctx)
		}
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, err), app.stay(ctx, reg, act, e.Name, err))
	}
	app.notice().Say("%s", summary(e.Name, found, time.Since(began)))
	return nil
}

// summary says what a sync did to an environment, and names what stayed behind.
func summary(name string, found *drift.Drift, took time.Duration) string {
	left := slices.DeleteFunc(slices.Clone(found.Changes), func(c drift.Change) bool { return c.Fate() != drift.Left })
	figures := fmt.Sprintf("files: %d, seconds: %.2f", len(found.Changes)-len(left), took.Seconds())
	if len(left) == 0 {
		return fmt.Sprintf("What happened since %s was made is in it now (%s).", name, figures)
	}
	var behind []string
	for _, c := range left[:min(3, len(left))] {
		behind = append(behind, ui.Printable("/"+c.Path))
	}
	if more := len(left) - len(behind); more > 0 {
		behind = append(behind, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("What happened since %s was made is in it now (%s), but for what is left behind by a rule (apt-be sync --show-rules): %s.",
		name, figures, strings.Join(behind, ", "))
}

// syncTrial brings an environment on trial up to date, and returns what it did.
func (app *App) syncTrial(ctx context.Context, reg *be.Registry, e be.Env) (*drift.Drift, error) {
	l, err := succession.Of(reg, e)
	if err != nil {
		return nil, err
	}
	synced := func(r *be.Record) {
		if r.Trial != nil { // else somebody has taken it back meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	return app.carrier(reg).Carry(ctx, l, succession.Options{Edit: synced})
}

// syncPrepared is syncTrial for an environment that may be mounted for a soft
// reboot: what takes its place is mounted then.
func (app *App) syncPrepared(ctx context.Context, reg *be.Registry, e be.Env) (*drift.Drift, error) {
	if !app.live() {
		return app.syncTrial(ctx, reg, e)
	}
	nonce, err := softreboot.Prepared()
	if err == nil && nonce != "" {
		err = softreboot.Undo()
	}
	if err != nil {
		return nil, err
	}
	found, err := app.syncTrial(ctx, reg, e)
	if err == nil && nonce != "" {
		err = softreboot.Prepare(reg.Store().Device(), e.Subvolume.Path, nonce)
	}
	return found, err
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
