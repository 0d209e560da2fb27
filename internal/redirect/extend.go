package redirect

import (
	"context"
	"errors"
	"syscall"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// extend runs a job in a copy of an environment that waits to be booted, brought up to
// date with the running system, as an upgrade in place goes on with what another one
// left. The copy takes the environment's place if any package changed and all went
// well.
func (s *Supervisor) extend(ctx context.Context, job Job, old be.Env, signals *signals) (Exit, bool, error) {
	s.Notice.Say("%s goes on with the boot environment %s, which waits to be booted; the running system stays as it is.", job.Argv[0], old.Name)
	c := &extension{s: s, job: job, old: old, signals: signals}
	if err := s.CatchUp(ctx, old, func(b *be.Build) (bool, error) { return c.run(ctx, b) }, c.describe); err != nil {
		return Exit{}, false, err
	}
	if c.ended {
		return c.exit, true, nil
	}
	e, err := s.Registry.Get(old.Name)
	if err != nil {
		return Exit{}, false, err
	}
	s.propagateLogs(job, c.result)
	s.report.env = &e
	s.tellReady(e)
	s.activate(ctx, job, e)
	s.replaceOlder(ctx, e) // and the menu names its kernels
	return c.exit, true, nil
}

// extension is a job that goes on with an environment.
type extension struct {
	s       *Supervisor
	job     Job
	old     be.Env
	signals *signals

	exit     Exit
	ended    bool // the environment is as it was
	result   sandbox.Result
	changes  be.Changes
	identity be.Identity
}

// run runs the frontend in the copy, and says whether it has ended the build: after
// a failure it is kept beside the environment, to be looked at.
func (c *extension) run(ctx context.Context, build *be.Build) (ended bool, err error) {
	verdict, result, err := c.s.run(build, c.job, c.signals)
	if err != nil {
		return false, err
	}
	c.exit, c.result = Exit{Code: verdict.ExitCode, Signal: syscall.Signal(verdict.Signal)}, result
	switch verdict.State {
	case Ready:
		if c.changes, err = c.s.changes(build); err != nil {
			return false, err
		}
		c.identity, err = Identify(c.s.Registry.Store().Path(build.Path))
		return false, err
	case Failed:
		c.ended = true
		if err := build.Split(ctx, ""); err != nil {
			return true, errors.Join(err, build.Discard(ctx))
		}
		c.exit, err = c.s.conclude(ctx, build, c.job, verdict, result)
		c.s.Notice.Say("%s is as it was.", c.old.Name)
		return true, err
	default:
		c.ended = true
		c.s.propagateLogs(c.job, result)
		c.s.tellUnchanged(c.old, result)
		return true, build.Discard(ctx)
	}
}

// describe brings the environment's record up to date.
func (c *extension) describe(r *be.Record) {
	r.Extended, r.Changes = true, c.changes
	r.Title, r.Kernels = c.identity.Title, c.identity.Kernels
}
