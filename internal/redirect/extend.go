package redirect

import (
	"context"
	"errors"
	"syscall"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// extend runs a job in a copy of a pending environment that contains the changes of the
// running system, like an upgrade in place that continues an earlier one. If the job
// changed packages and succeeded, the copy replaces the environment.
func (s *Supervisor) extend(ctx context.Context, job Job, old be.Env, signals *signals) (Exit, bool, error) {
	s.Notice.Say("%s extends the pending boot environment %s. The running system stays unchanged.", job.Argv[0], old.Name)
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
	s.replaceOlder(ctx, e) // this also updates the boot menu
	return c.exit, true, nil
}

// extension is a job that extends an environment.
type extension struct {
	s       *Supervisor
	job     Job
	old     be.Env
	signals *signals

	exit     Exit
	ended    bool // the environment stays unchanged
	result   sandbox.Result
	changes  be.Changes
	identity be.Identity
}

// run runs the frontend in the copy, and reports whether the build has ended. After a
// failure it keeps the copy beside the environment for inspection.
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
		c.s.Notice.Say("%s is unchanged.", c.old.Name)
		return true, err
	default:
		c.ended = true
		c.s.propagateLogs(c.job, result)
		c.s.tellUnchanged(c.old, result)
		return true, build.Discard(ctx)
	}
}

// describe updates the environment's record.
func (c *extension) describe(r *be.Record) {
	r.Extended, r.Changes = true, c.changes
	r.Title, r.Kernels = c.identity.Title, c.identity.Kernels
}
