package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/diskspace"
)

// CatchUp syncs the running environment early in its first boot, if no shutdown did: the
// user has selected it in the boot menu. The running root cannot be replaced while it
// runs. So a copy with all changes takes its place, and the machine boots once more,
// into the copy; then leaving is true. nonce is that of the trial that this boot is, or
// "". It takes the lock for each step.
func (l *Lifecycle) CatchUp(ctx context.Context, nonce string) (leaving bool, err error) {
	e, err := l.Registry.Running()
	if err != nil || !lacksSync(e) {
		return false, err
	}
	if _, err := catchup.PairOf(l.Registry, e); errors.Is(err, catchup.ErrNoSource) {
		return false, nil
	}
	w := &work{env: e, nonce: nonce}
	err = l.fire(ctx, BootUnsynced, w)
	switch {
	case err == nil:
	case w.leaving && errors.Is(err, context.Canceled): // the machine goes down
	case w.confirmed:
		err = fmt.Errorf("cannot boot %s again: %w", e.Name, err)
	default:
		err = fmt.Errorf("cannot carry the changes of the old system to %s: %w", e.Name, err)
	}
	return w.leaving, err
}

// lacksSync reports whether the running environment boots for the first time without
// the changes of its origin.
func lacksSync(e be.Env) bool {
	t := e.Record.Trial
	return e.NeverBooted() && (t == nil || t.Started.IsZero() && t.Synced.IsZero())
}

// Booted is the result of Boot.
type Booted struct {
	Trial    bool     // this boot is a trial
	FellBack []be.Env // the environments from which the machine has just fallen back
}

// Boot judges, early in each boot, the trials that were armed before, and starts the
// trial that this boot is. nonce is its nonce, or ""; bootID is the running kernel's.
func (l *Lifecycle) Boot(ctx context.Context, nonce, bootID string) (b Booted, err error) {
	found, err := l.Act.Boot(nonce, bootID)
	b.FellBack = found.Failed
	if err != nil && nonce != "" && found.Trial == nil {
		// It is unknown whether this boot is a trial; its watchdog decides.
		b.Trial = true
		return b, err
	}
	for _, e := range found.Failed {
		l.Log.Warnf("the machine fell back from %s: %s", e.Name, e.Record.Reason)
		err = errors.Join(err, l.fire(ctx, OtherBoots, &work{env: e}))
	}
	if found.Trial != nil {
		b.Trial = true
		return b, errors.Join(err, l.fire(ctx, BootOnTrial, &work{env: *found.Trial, nonce: nonce}))
	}
	// Remove the leftovers of an earlier or unknown trial.
	if nonce != "" || l.Machine.OnTrial() {
		err = errors.Join(err, l.Machine.EndTrial())
	}
	return b, err
}

// Bless ends the trial of the running environment with success: it becomes the default.
// It returns activation.ErrNoTrial if it is not on trial.
func (l *Lifecycle) Bless(ctx context.Context) (be.Env, error) {
	e, err := l.Act.OnTrial()
	if err != nil {
		return e, err
	}
	return e, l.fire(ctx, Healthy, &work{env: e})
}

// Fail records a fault of the running environment, which is on trial. back reports
// whether the machine must leave it. It returns activation.ErrNoTrial if it is not on
// trial.
func (l *Lifecycle) Fail(ctx context.Context, fault be.Fault) (back bool, err error) {
	e, err := l.Act.OnTrial()
	if err != nil {
		return false, err
	}
	w := &work{env: e, fault: fault}
	err = l.fire(ctx, Unhealthy, w)
	return w.back, err
}

// MarkStale marks the pending environments as stale whose origin's packages changed, and
// disarms them. It returns their names, and whether others are pending.
func (l *Lifecycle) MarkStale(ctx context.Context) (stale []string, left bool, err error) {
	envs, err := l.Registry.List()
	if err != nil {
		return nil, false, err
	}
	running, err := l.Registry.Running()
	if err != nil {
		return nil, false, err
	}
	for _, e := range envs {
		if !e.Pending() || e.Record.OriginUUID != running.Subvolume.UUID {
			continue
		}
		changed, err := catchup.PackagesChanged(l.Registry, e)
		if err != nil {
			return nil, false, err
		}
		if !changed {
			left = true
			continue
		}
		if err := l.fire(ctx, PackagesChanged, &work{env: e}); err != nil {
			return nil, false, err
		}
		stale = append(stale, e.Name)
	}
	return stale, left, nil
}

// Unacknowledged returns the environments with a fallback that the user has not
// acknowledged.
func Unacknowledged(envs []be.Env) []be.Env {
	return slices.DeleteFunc(slices.Clone(envs), func(e be.Env) bool {
		return e.Record.State != be.FellBack || e.Record.Acknowledged
	})
}

// Held returns why an environment was not booted although its trial was wanted, and
// which action tries again. It returns "" if no trial was wanted, or nothing failed. If
// the disk was full or the power failed, the reason is not in the record; then it
// follows from the trial, which is still wanted. bootID is the running kernel's, or "".
func Held(reg *be.Registry, e be.Env, bootID string) (why, again string) {
	passed := e.Armed && !e.Running && bootID != "" && activation.PassedOver(e, bootID)
	switch {
	case e.Running || e.Record.HoldReason == "" && !passed:
		return "", ""
	case !passed && !e.Armed:
		return e.Record.HoldReason, "apt-be activate " + e.Name
	}
	again = "the next reboot"
	if why = e.Record.HoldReason; why == "" {
		why = "the machine went down before the changes of the running system were carried"
	}
	free, err := reg.Store().Free()
	if err == nil {
		if err := (diskspace.Estimate{}).Check(free); err != nil {
			why = fmt.Sprintf("%s (%v)", why, err)
			again = "the next reboot after freeing space (apt-be list -s, apt-be prune, apt-get clean)"
		}
	}
	return why, again
}
