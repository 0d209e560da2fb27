// Package lifecycle moves boot environments from state to state: it arms trials, prepares
// the departure at shutdown, judges the boot, blesses, falls back, and marks environments
// as stale. table.go has all states, events and steps.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

// Lifecycle changes the states of the environments of a registry. Shutdown and Boot take
// the registry's lock for each step that needs it; the callers of all other methods hold
// the lock.
type Lifecycle struct {
	Registry *be.Registry
	Act      *activation.Activator // nil without a boot loader: then no environment is on trial
	NoLoader error                 // the reason why Act is nil, such as be.ErrNotSetUp
	Syncer   *catchup.Syncer
	Shares   *share.Shares
	Machine  Machine
	Root     string // the directory at which the running system is mounted
	Notice   *ui.Notice
	Log      logrus.FieldLogger
	// Locked calls do with the registry's lock, after recovery.
	Locked func(ctx context.Context, do func() error) error
	// TrialOptions returns the options of a trial, from the active services and the
	// policy.
	TrialOptions func(ctx context.Context, method be.Method) (activation.ArmOptions, error)

	// crash, if not nil, is called after each step: an error ends the process there.
	// Only tests set it.
	crash func(step string) error
}

// Machine is the machine on which the environments run. For an image it does nothing.
type Machine interface {
	// Stopping reports whether the machine is going down. For an image it is true.
	Stopping(ctx context.Context) bool
	// LeaveJournal makes journald keep messages in memory. ReturnToJournal reverses it.
	LeaveJournal(ctx context.Context)
	ReturnToJournal(ctx context.Context)
	// Suspend cancels a soft-reboot or kexec that is prepared for an environment, so
	// that an interruption boots the running system again. resume prepares it again.
	Suspend(e be.Env) (resume func(e be.Env) error, err error)
	// Unprepare cancels a prepared kexec or soft-reboot, which a plain reboot would use.
	Unprepare() error
	// Release completes a prepared soft-reboot at the end of a shutdown.
	Release() error
	// BeginTrial starts the watchdog and the deadline of a trial. EndTrial stops them.
	BeginTrial(t be.Trial) error
	EndTrial() error
	// OnTrial reports whether the running system has started a trial.
	OnTrial() bool
	// KeepJournal keeps the journal of a failed trial.
	KeepJournal(ctx context.Context, st store.Store, e be.Env) error
	// Leave reboots, and blocks until the machine goes down.
	Leave(ctx context.Context) error
	// Go takes the machine to an environment whose trial is armed for a method.
	Go(ctx context.Context, e be.Env, method be.Method) error
}

// work is the input and output of the steps of one transition.
type work struct {
	env be.Env

	options activation.ArmOptions // of activate
	nonce   string                // of the trial that this boot is, or ""
	fault   be.Fault              // of unhealthy
	why     error                 // the error of the step that failed

	found     *drift.Drift // the result of a sync
	back      bool         // the machine must leave the running environment
	leaving   bool         // the machine reboots
	confirmed bool         // the copy of a sync has replaced the environment
	next      string       // the name of the environment that boots next, after a cancel
}

// errCrash is the error of a test's crash.
var errCrash = errors.New("crash")

// fire runs the transition of an environment for an event.
func (l *Lifecycle) fire(ctx context.Context, event Event, w *work) error {
	from, err := l.StateOf(w.env)
	if err != nil {
		return err
	}
	t := find(from, event)
	if t == nil {
		return fmt.Errorf("%w: %s is %s, which does not allow: %s", be.ErrProtected, w.env.Name, from, event)
	}
	if err := l.run(ctx, t.Steps, w); err != nil {
		if errors.Is(err, errCrash) {
			return err
		}
		w.why = err
		return errors.Join(err, l.run(ctx, t.OnError, w))
	}
	return nil
}

// run runs steps up to the first that fails.
func (l *Lifecycle) run(ctx context.Context, all []Step, w *work) error {
	for _, s := range all {
		began := time.Now()
		err := s.do(ctx, l, w)
		l.Log.WithFields(logrus.Fields{"be": w.env.Name, "step": s.Name, "seconds": fmt.Sprintf("%.2f", time.Since(began).Seconds())}).Debug("step of the life cycle ended")
		if err == nil && l.crash != nil {
			err = l.crash(s.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// StateOf returns the state of an environment in the life cycle.
func (l *Lifecycle) StateOf(e be.Env) (State, error) {
	if activation.Waits(e) && !e.Running {
		lacks, err := l.Act.NeedsSync(e)
		if err != nil || lacks {
			return Wanted, err
		}
		return Armed, nil
	}
	switch e.Record.State {
	case be.Trying:
		return Trying, nil
	case be.FellBack:
		return FellBack, nil
	case be.Stale:
		return Stale, nil
	case be.Failed, be.Unreadable:
		return Unusable, nil
	}
	switch {
	case e.Record.State == be.Blessed:
		return Blessed, nil
	case e.NeverBooted():
		return Upgraded, nil
	}
	return Ready, nil
}
