package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
)

// The risks that a user can accept.
const (
	RiskFellBack   = "fell-back"   // to boot an environment from which the machine fell back
	RiskNoFallback = "no-fallback" // a trial that only its own userspace can end
)

// Activation are the options of activate.
type Activation struct {
	Once    bool // for one boot only
	DryRun  bool
	Accepts func(risk string) bool
	// Method returns the method for going to the environment.
	Method func(ctx context.Context, e be.Env) (be.Method, error)
}

// Activated is the result of activate.
type Activated struct {
	Env    be.Env
	Method be.Method
	Done   bool // it runs already, and is the default
	Chosen bool // it is the default without a trial
}

// Activate makes the machine boot an environment next: on trial, or without one if it is
// proven. It returns be.ErrProtected if the environment's state forbids that.
func (l *Lifecycle) Activate(ctx context.Context, name string, o Activation) (a Activated, err error) {
	e, err := l.Registry.Get(name)
	if err != nil {
		return a, err
	}
	if e.Running && e.Next {
		return Activated{Env: e, Done: true}, nil
	}
	a, err = l.activate(ctx, e, o)
	if err != nil {
		err = fmt.Errorf("cannot activate %s: %w", name, err)
	}
	return a, err
}

func (l *Lifecycle) activate(ctx context.Context, e be.Env, o Activation) (a Activated, err error) {
	// The kernels may have changed, for example by apt-be run.
	if e, err = l.Registry.Identify(e); err != nil {
		return a, err
	}
	if err := l.checkState(e, o); err != nil {
		return a, err
	}
	if l.Act == nil { // before apt-be init, the kernels may be in a separate file system
		return a, l.NoLoader
	}
	if _, err := activation.KernelOf(e); errors.Is(err, activation.ErrNoKernel) {
		return a, fmt.Errorf("%w: %w", be.ErrProtected, err)
	} else if err != nil {
		return a, err
	}
	a.Env = e
	if a.Method, err = o.Method(ctx, e); err != nil {
		return a, err
	}
	if o.DryRun {
		return a, refusal(l.Act.Check(e, activation.ArmOptions{Method: a.Method, NoFallback: o.Accepts(RiskNoFallback)}), e)
	}
	if a.Method == be.Reboot && !o.Once && proven(e) {
		a.Chosen = true
		return a, l.fire(ctx, Choose, &work{env: e})
	}
	options, err := l.TrialOptions(ctx, a.Method)
	if err != nil {
		return a, err
	}
	options.Once, options.NoFallback = o.Once, o.Accepts(RiskNoFallback)
	return a, refusal(l.fire(ctx, Activate, &work{env: e, options: options}), e)
}

// Go takes the machine to an environment whose trial is armed for a method. If that
// fails, the default stays the next environment.
func (l *Lifecycle) Go(ctx context.Context, e be.Env, method be.Method) error {
	e, err := l.Registry.Get(e.Name) // with its trial
	if err == nil {
		err = l.Machine.Go(ctx, e, method)
	}
	if err != nil {
		_, stayErr := l.Act.Deactivate()
		return errors.Join(fmt.Errorf("cannot go to %s: %w", e.Name, err), l.Machine.Unprepare(), stayErr)
	}
	return nil
}

// Deactivate reverses an activate that the machine has not booted yet, and returns the
// name of the environment that the next boot takes.
func (l *Lifecycle) Deactivate(ctx context.Context) (name string, err error) {
	e, waits, err := l.Act.Next()
	if err != nil {
		return "", err
	}
	w := &work{env: e}
	if waits {
		err = l.fire(ctx, Cancel, w)
	} else { // only a choice of the default
		err = l.run(ctx, []Step{unprepare, deactivate}, w)
	}
	return w.next, err
}

// Replay repeats the package changes of the running system in an environment, and carries
// all other changes. It takes the locks itself.
func (l *Lifecycle) Replay(ctx context.Context, e be.Env) error {
	return l.fire(ctx, Replay, &work{env: e})
}

// refusal adds a remedy to the error of a trial.
func refusal(err error, e be.Env) error {
	if errors.Is(err, activation.ErrNoFallback) {
		err = fmt.Errorf("%w: %w (to add them, run apt-be run %s -- update-initramfs -u -k all; to boot it without fallback, use --accept-risk %s)",
			be.ErrProtected, err, e.Name, RiskNoFallback)
	}
	return err
}

// proven reports whether an environment needs no trial: the running one, and a blessed
// one that was not modified since.
func proven(e be.Env) bool {
	return e.Running || e.Record.State == be.Blessed && !e.Record.Modified
}

// checkState fails if an environment's state forbids booting it.
func (l *Lifecycle) checkState(e be.Env, o Activation) error {
	switch e.Record.State {
	case be.Failed:
		return fmt.Errorf("%w: its upgrade failed: %s", be.ErrProtected, e.Record.Reason)
	case be.FellBack:
		if !o.Accepts(RiskFellBack) {
			return fmt.Errorf("%w: the machine fell back from it, and would not fall back again: %s (to boot it all the same, use --accept-risk %s)",
				be.ErrProtected, e.Record.Reason, RiskFellBack)
		}
	}
	return l.checkFresh(e)
}

// checkFresh fails if the changes of the running system cannot be carried to an
// upgraded environment.
func (l *Lifecycle) checkFresh(e be.Env) error {
	if !e.Pending() && e.Record.State != be.Stale {
		return nil
	}
	p, err := catchup.PairOf(l.Registry, e)
	if errors.Is(err, catchup.ErrNoSource) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", be.ErrProtected, err)
	}
	changed, err := p.PackagesChanged()
	if err == nil && changed {
		err = drift.ErrPackages
	}
	if err != nil {
		return err
	}
	if !p.Source.Running {
		l.Notice.Warn("%s was made from %s, so changes of the running system are not carried to it.", e.Name, p.Source.Name)
	}
	found, err := p.Drift()
	if err != nil {
		return err
	}
	if catchup.NeedsInitramfs(found) {
		l.Notice.Warn("Files of the initramfs changed. To update it, run apt-be sync %s, and then apt-be run %s -- update-initramfs -u", e.Name, e.Name)
	}
	return found.CheckRefused()
}
