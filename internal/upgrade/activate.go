package upgrade

import (
	"context"
	"slices"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// activate arms a trial of the environment that a job made, and prints how to boot it.
// If arming fails, the environment stays ready.
func (r *run) activate(ctx context.Context, e be.Env) {
	switch {
	case !e.Bootable():
	case r.Boot == nil:
		r.Notice.Say("The running system is unchanged. To boot %s, run `apt-be init` once, then `apt-be activate %s`, and reboot.", e.Name, e.Name)
	case !r.job.Activate:
		r.Notice.Say("The running system is unchanged. To boot %s, run `apt-be activate %s`, and reboot.", e.Name, e.Name)
	default:
		happened, err := r.Catchup.Preview(e)
		if err != nil {
			r.Log.Warn(err)
			r.Notice.Say("The running system is unchanged and stays the default. Before %s can be booted, you must decide about conflicting changes: `apt-be drift %s` lists them. Then run `apt-be activate %s`.", e.Name, e.Name, e.Name)
			return
		}
		r.try(ctx, e)
		if happened != "" {
			r.Notice.Say("At shutdown, changes of the running system are carried to %s; until now, %s.", e.Name, happened)
		}
	}
}

// tellUnchanged prints that a pending environment stays unchanged. A frontend that
// failed may not have checked whether anything is newer.
func (r *run) tellUnchanged(old be.Env, result sandbox.Result) {
	r.report.SetResult(old, false)
	if result.ExitCode != 0 || result.Signal != 0 {
		r.Notice.Say("No package changed. The pending environment %s is unchanged.", old.Name)
		return
	}
	r.tellPending(old)
}

// tellPending prints that nothing is newer than in a pending environment, and how to
// boot that environment.
func (r *run) tellPending(e be.Env) {
	how := "the next boot tries " + e.Name
	switch {
	case !e.Bootable():
		how = e.Name + " cannot boot, because it has no kernel"
	case r.Boot == nil:
		how = "to boot it, run `apt-be init` once, then `apt-be activate " + e.Name + "`, and reboot"
	case !e.Armed:
		how = "to boot it, run `apt-be activate " + e.Name + "`, and reboot"
	}
	r.Notice.Say("Nothing is newer than in %s: %s.", e.Name, how)
}

func (r *run) try(ctx context.Context, e be.Env) {
	failed, err := r.fellBack()
	if err == nil && failed != "" {
		// The cause of the fallback may be in this environment, too, and no one has
		// acknowledged it yet. Without this check, unattended upgrades would arm a
		// trial every day.
		r.Notice.Say("The running system is unchanged and stays the default, because the machine fell back from %s. `apt-be status` shows why. To try %s, run `apt-be activate %s`.", failed, e.Name, e.Name)
		return
	}
	if err == nil {
		err = r.tryLocked(ctx, e)
	}
	if err != nil {
		r.Log.WithError(err).Warnf("cannot make the next boot take %s", e.Name)
		r.Notice.Say("The running system is unchanged and stays the default. To boot %s, run `apt-be activate %s`, and reboot.", e.Name, e.Name)
		return
	}
	r.Notice.Say("The running system is unchanged. The next boot tries %s and falls back if it is unhealthy. `apt-be doctor` lists the failures that this does not cover.", e.Name)
	r.Notice.Say("To stay with the running system, run `apt-be deactivate`.")
}

func (r *run) tryLocked(ctx context.Context, e be.Env) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := r.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return r.Boot.Try(ctx, e, r.job.Deadline)
}

// fellBack returns the name of an environment that the machine fell back from, if the
// fallback is not acknowledged; otherwise "".
func (u *Upgrader) fellBack() (string, error) {
	envs, err := u.Registry.List()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Record.State == be.FellBack && !e.Record.Acknowledged })
	if i < 0 {
		return "", nil
	}
	return envs[i].Name, nil
}

// refreshMenu updates the boot menu to the existing environments. The caller holds the
// registry's lock.
func (u *Upgrader) refreshMenu() {
	if u.Boot == nil {
		return
	}
	if err := u.Boot.Refresh(); err != nil {
		u.Log.WithError(err).Warn("cannot write the boot menu")
	}
}

// armed returns the environment on trial at the next boot, or nil.
func (u *Upgrader) armed() (*be.Env, error) {
	if u.Boot == nil {
		return nil, nil
	}
	envs, err := u.Registry.List()
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.DefaultErr != nil }); i >= 0 {
		return nil, envs[i].DefaultErr
	}
	i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Armed && !e.Running })
	if i < 0 {
		return nil, nil
	}
	return &envs[i], nil
}
