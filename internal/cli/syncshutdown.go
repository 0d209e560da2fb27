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
	"github.com/apt-be/apt-be/internal/systemd"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// syncAtShutdown prepares the next environment at shutdown, after all services have
// stopped; apt-be-sync.service runs it. It carries the changes of the running system to
// an upgraded environment, and only then makes the boot loader take the trial. If it
// fails or is interrupted, the machine boots the running system again, because
// otherwise changes would be lost.
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
	if app.live() && !systemd.Stopping(ctx) {
		app.notice().Say("The running system is not going down. To carry its changes now, run apt-be sync %s", e.Name)
		return nil
	}
	if e.Unreadable != nil && e.Armed {
		// It is unknown which changes the environment lacks.
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

// confirm makes the boot loader take a wanted trial.
func (app *App) confirm(ctx context.Context, reg *be.Registry, act *activation.Activator, name string) error {
	return app.settled(ctx, reg, func() error {
		e, err := reg.Get(name)
		if err != nil {
			return err
		}
		return act.Confirm(e)
	})
}

// syncLast is the last sync of an environment before it boots.
func (app *App) syncLast(ctx context.Context, reg *be.Registry, act *activation.Activator, e be.Env) error {
	if app.live() {
		systemd.LeaveJournal(ctx)
	}
	began := time.Now()
	var found *drift.Drift
	err := act.BeginSync(e)
	if err == nil {
		found, err = app.syncPrepared(ctx, reg, act, e)
	}
	if err != nil {
		if app.live() {
			systemd.ReturnToJournal(ctx)
		}
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, err), app.stay(ctx, reg, act, e.Name, err))
	}
	app.notice().Say("%s", summary(e.Name, found, time.Since(began)))
	app.warnOfBehind(e.Name, found)
	return nil
}

// summary describes the result of a sync, and lists the changes that a rule skipped.
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

// few returns the first of many names, and the number of the others.
func few(names []string) []string {
	found := slices.Clone(names[:min(3, len(names))])
	if more := len(names) - len(found); more > 0 {
		found = append(found, fmt.Sprintf("%d more", more))
	}
	return found
}

// warnOfBehind lists the changes that could not be carried. It does not stop, because
// any user can make such files.
func (app *App) warnOfBehind(name string, found *drift.Drift) {
	var behind []string
	for _, c := range found.Skipped() {
		behind = append(behind, ui.Printable("/"+shorten(c.Path))+" ("+ui.Printable(shorten(c.Conflict))+")")
	}
	if len(behind) > 0 {
		app.notice().Warn("Not carried to %s: %s.", name, strings.Join(few(behind), "; "))
	}
}

// shorten removes the middle of a text that is too long for a message.
func shorten(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return text[:most/2] + "…" + text[len(text)-most/2:]
}

// syncTrial syncs an environment on trial and returns the drift.
func (app *App) syncTrial(ctx context.Context, reg *be.Registry, e be.Env) (*drift.Drift, error) {
	synced := func(r *be.Record) {
		r.HoldReason = ""
		if r.Trial != nil { // otherwise it was cancelled meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	l, err := catchup.PairOf(reg, e)
	if errors.Is(err, catchup.ErrNoSource) { // it lacks nothing
		return &drift.Drift{}, app.settled(ctx, reg, func() error { return reg.Change(e, synced) })
	}
	if err != nil {
		return nil, err
	}
	return app.syncer(reg).Sync(ctx, l, catchup.Options{EditRecord: synced})
}

// syncPrepared is syncTrial for an environment for which a soft reboot or a kexec was
// prepared. It cancels the preparation meanwhile: if the sync is interrupted, these
// methods, too, boot the running system again.
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

// stay makes the machine boot the default by every method, and records the reason. If
// only space or time was missing, the next shutdown tries again; otherwise the user
// must decide.
func (app *App) stay(ctx context.Context, reg *be.Registry, act *activation.Activator, name string, why error) error {
	// The process may have received SIGTERM, because its time is over.
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

// passing reports whether an error may disappear without a decision.
func passing(why error) bool {
	var held *txn.HeldError // another process writes to the registry
	// An automount returns EHOSTDOWN during shutdown.
	return errors.As(why, &held) || errors.Is(why, unix.EHOSTDOWN) ||
		durable.Unwritable(why) || errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded)
}
