package redirect

import (
	"context"
	"slices"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// activate arms a trial of the environment that a job made, and prints how to boot it.
// If arming fails, the environment stays ready.
func (s *Supervisor) activate(ctx context.Context, job Job, e be.Env) {
	switch {
	case !e.Bootable():
	case s.Boot == nil:
		s.Notice.Say("The running system is unchanged. To boot %s, run `apt-be init` once, then `apt-be activate %s`, and reboot.", e.Name, e.Name)
	case !job.Activate:
		s.Notice.Say("The running system is unchanged. To boot %s, run `apt-be activate %s`, and reboot.", e.Name, e.Name)
	default:
		happened, err := s.Drift(e)
		if err != nil {
			s.Log.Warn(err)
			s.Notice.Say("The running system is unchanged and stays the default. Before %s can be booted, you must decide about conflicting changes: `apt-be drift %s` lists them. Then run `apt-be activate %s`.", e.Name, e.Name, e.Name)
			return
		}
		s.try(ctx, job, e)
		if happened != "" {
			s.Notice.Say("At shutdown, changes of the running system are carried to %s; until now, %s.", e.Name, happened)
		}
	}
}

// tellUnchanged prints that a pending environment stays unchanged. A frontend that
// failed may not have checked whether anything is newer.
func (s *Supervisor) tellUnchanged(old be.Env, result sandbox.Result) {
	s.report.env = &old
	if result.ExitCode != 0 || result.Signal != 0 {
		s.Notice.Say("No package changed. The pending environment %s is unchanged.", old.Name)
		return
	}
	s.tellPending(old)
}

// tellPending prints that nothing is newer than in a pending environment, and how to
// boot that environment.
func (s *Supervisor) tellPending(e be.Env) {
	how := "the next boot tries " + e.Name
	switch {
	case !e.Bootable():
		how = e.Name + " cannot boot, because it has no kernel"
	case s.Boot == nil:
		how = "to boot it, run `apt-be init` once, then `apt-be activate " + e.Name + "`, and reboot"
	case !e.Armed:
		how = "to boot it, run `apt-be activate " + e.Name + "`, and reboot"
	}
	s.Notice.Say("Nothing is newer than in %s: %s.", e.Name, how)
}

func (s *Supervisor) try(ctx context.Context, job Job, e be.Env) {
	failed, err := s.fellBack()
	if err == nil && failed != "" {
		// The cause of the fallback may be in this environment, too, and no one has
		// acknowledged it yet. Without this check, unattended upgrades would arm a
		// trial every day.
		s.Notice.Say("The running system is unchanged and stays the default, because the machine fell back from %s. `apt-be status` shows why. To try %s, run `apt-be activate %s`.", failed, e.Name, e.Name)
		return
	}
	if err == nil {
		err = s.tryLocked(ctx, job, e)
	}
	if err != nil {
		s.Log.WithError(err).Warnf("cannot make the next boot take %s", e.Name)
		s.Notice.Say("The running system is unchanged and stays the default. To boot %s, run `apt-be activate %s`, and reboot.", e.Name, e.Name)
		return
	}
	s.Notice.Say("The running system is unchanged. The next boot tries %s and falls back if it is unhealthy. `apt-be doctor` lists the failures that this does not cover.", e.Name)
	s.Notice.Say("To stay with the running system, run `apt-be deactivate`.")
}

func (s *Supervisor) tryLocked(ctx context.Context, job Job, e be.Env) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := s.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.Boot.Try(ctx, e, job.Deadline)
}

// fellBack returns the name of an environment that the machine fell back from, if the
// fallback is not acknowledged; otherwise "".
func (s *Supervisor) fellBack() (string, error) {
	envs, err := s.Registry.List()
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
func (s *Supervisor) refreshMenu() {
	if s.Boot == nil {
		return
	}
	if err := s.Boot.Refresh(); err != nil {
		s.Log.WithError(err).Warn("cannot write the boot menu")
	}
}
