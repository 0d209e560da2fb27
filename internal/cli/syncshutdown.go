package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// syncAtShutdown prepares the environment that the machine goes to next, as the machine
// goes down and all services have been stopped: apt-be-sync.service runs it. An
// upgrade is given what happened in the running system, and the loader is told to
// boot it only then. If that can't be done, or is not done to the end, the machine
// stays with the running system: it would lose what happened.
func (app *App) syncAtShutdown(ctx context.Context, reg *be.Registry) error {
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
	if app.live() && !host.Stopping(ctx) {
		app.notice().Say("The running system is not going down. To carry its changes now, run apt-be sync %s", e.Name)
		return nil
	}
	if e.Unreadable != nil && e.Armed {
		// Nothing tells what it lacks of what happened here.
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, e.Unreadable), app.stay(ctx, reg, act, e.Name, e.Unreadable))
	}
	lacks, err := act.NeedsSync(e)
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
	if app.live() {
		return softreboot.Release()
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
		host.LeaveJournal(ctx)
	}
	began := time.Now()
	var found *drift.Drift
	err := act.BeginSync(e)
	if err == nil {
		found, err = app.syncPrepared(ctx, reg, act, e)
	}
	if err != nil {
		if app.live() {
			host.ReturnToJournal(ctx)
		}
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, err), app.stay(ctx, reg, act, e.Name, err))
	}
	app.notice().Say("%s", summary(e.Name, found, time.Since(began)))
	app.warnOfBehind(e.Name, found)
	return nil
}

// summary says what a sync did to an environment, and names what stayed behind, but for
// what could not be carried over.
func summary(name string, found *drift.Drift, took time.Duration) string {
	var left int
	var byRule []string
	for _, c := range found.Changes {
		if c.Outcome() != drift.Skipped {
			continue
		}
		left++
		if !c.Uncopyable {
			byRule = append(byRule, ui.Printable("/"+c.Path))
		}
	}
	figures := fmt.Sprintf("files: %d, seconds: %.2f", len(found.Changes)-left, took.Seconds())
	if len(byRule) == 0 {
		return fmt.Sprintf("The changes of the running system were carried to %s (%s).", name, figures)
	}
	return fmt.Sprintf("The changes of the running system were carried to %s (%s), except for those that a rule skips (apt-be sync --show-rules): %s.",
		name, figures, strings.Join(few(byRule), ", "))
}

// few are the first of many names, and how many more there are.
func few(names []string) []string {
	found := slices.Clone(names[:min(3, len(names))])
	if more := len(names) - len(found); more > 0 {
		found = append(found, fmt.Sprintf("%d more", more))
	}
	return found
}

// warnOfBehind names what could not be carried over to an environment. Nobody is
// asked: users can make such files.
func (app *App) warnOfBehind(name string, found *drift.Drift) {
	var behind []string
	for _, c := range found.Skipped() {
		behind = append(behind, ui.Printable("/"+shorten(c.Path))+" ("+ui.Printable(shorten(c.Conflict))+")")
	}
	if len(behind) > 0 {
		app.notice().Warn("Not carried to %s: %s.", name, strings.Join(few(behind), "; "))
	}
}

// shorten leaves out the middle of what is too long for a message.
func shorten(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return text[:most/2] + "…" + text[len(text)-most/2:]
}

// syncTrial brings an environment on trial up to date, and returns what it did.
func (app *App) syncTrial(ctx context.Context, reg *be.Registry, e be.Env) (*drift.Drift, error) {
	synced := func(r *be.Record) {
		r.HoldReason = ""
		if r.Trial != nil { // else somebody has taken it back meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	l, err := catchup.PairOf(reg, e)
	if errors.Is(err, catchup.ErrNoSource) { // it has all that there is
		return &drift.Drift{}, app.settled(ctx, reg, func() error { return reg.Change(e, synced) })
	}
	if err != nil {
		return nil, err
	}
	return app.syncer(reg).Sync(ctx, l, catchup.Options{EditRecord: synced})
}

// syncPrepared is syncTrial for an environment that a soft reboot or a kexec was
// prepared for. That is taken back meanwhile: if the work is not done to the end,
// the machine stays with the running system in these ways, too.
func (app *App) syncPrepared(ctx context.Context, reg *be.Registry, act *activation.Activator, e be.Env) (*drift.Drift, error) {
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
		return nil, err
	}
	found, err := app.syncTrial(ctx, reg, e)
	if err == nil && nonce != "" {
		err = softreboot.Prepare(reg.Store().Device(), e.Subvolume.Path, nonce)
	}
	if err == nil && loaded {
		if e, err = reg.Get(e.Name); err == nil {
			err = loadKernel(act, e)
		}
	}
	return found, err
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
		return errors.Join(app.unprepare(), act.CancelTrial(e, note))
	})
}

// passing says whether what went wrong may go well the next time, without anybody
// deciding on anything.
func passing(why error) bool {
	var held *txn.HeldError // another process writes to the registry
	// EHOSTDOWN is what an automount says as the machine goes down.
	return errors.As(why, &held) || errors.Is(why, unix.EHOSTDOWN) ||
		durable.Unwritable(why) || errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded)
}
