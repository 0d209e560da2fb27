package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// Shutdown prepares the next environment at shutdown, after all services have stopped;
// apt-be-sync.service runs it. It carries the changes of the running system to an
// upgraded environment, and only then makes the boot loader take the trial. If it fails
// or is interrupted, the machine boots the running system again, because otherwise
// changes would be lost.
func (l *Lifecycle) Shutdown(ctx context.Context) error {
	e, ok, err := l.destination()
	if err != nil || !ok {
		return err
	}
	if !l.Machine.Stopping(ctx) {
		l.Notice.Say("The running system is not going down. To carry its changes now, run apt-be sync %s", e.Name)
		return nil
	}
	w := &work{env: e}
	if e.Unreadable != nil && e.Armed {
		// It is unknown which changes the environment lacks.
		w.why = e.Unreadable
		return errors.Join(fmt.Errorf("cannot boot %s: %w", e.Name, e.Unreadable), l.run(ctx, []Step{stay}, w))
	}
	state, err := l.StateOf(e)
	if err != nil {
		return err
	}
	if state == Wanted {
		l.Machine.LeaveJournal(ctx)
	}
	began := time.Now()
	if err := l.fire(ctx, Shutdown, w); err != nil {
		l.Machine.ReturnToJournal(ctx)
		return fmt.Errorf("cannot boot %s: %w", e.Name, err)
	}
	if w.found != nil {
		l.Notice.Say("%s", summary(e.Name, w.found, time.Since(began)))
		l.warnOfBehind(e.Name, w.found)
	}
	return l.Machine.Release()
}

// destination returns the next environment, unless it is the running one.
func (l *Lifecycle) destination() (e be.Env, ok bool, err error) {
	if e, ok, err = l.Act.Next(); err != nil || ok {
		return e, ok, err
	}
	envs, err := l.Registry.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range envs {
		if e.Next && !e.Running {
			return e, true, nil
		}
	}
	return be.Env{}, false, nil
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
func (l *Lifecycle) warnOfBehind(name string, found *drift.Drift) {
	var behind []string
	for _, c := range found.Skipped() {
		behind = append(behind, ui.Printable("/"+shorten(c.Path))+" ("+ui.Printable(shorten(c.Conflict))+")")
	}
	if len(behind) > 0 {
		l.Notice.Warn("Not carried to %s: %s.", name, strings.Join(few(behind), "; "))
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

// passing reports whether an error may disappear without a decision.
func passing(why error) bool {
	var held *txn.HeldError // another process writes to the registry
	// An automount returns EHOSTDOWN during shutdown.
	return errors.As(why, &held) || errors.Is(why, unix.EHOSTDOWN) ||
		durable.Unwritable(why) || errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded)
}
