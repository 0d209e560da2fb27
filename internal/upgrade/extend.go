package upgrade

import (
	"context"
	"errors"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// extend runs the frontend in a copy of a pending environment that contains the changes
// of the running system, like an upgrade in place that continues an earlier one. If the
// frontend changed packages and succeeded, the copy replaces the environment.
func (r *run) extend(ctx context.Context, old be.Env) (inside.Exit, bool, error) {
	r.Notice.Say("%s extends the pending boot environment %s. The running system stays unchanged.", r.job.Argv[0], old.Name)
	x := &extension{run: r, old: old}
	options := catchup.Options{
		BeforeCommit: func(build *be.Build) (bool, error) { return x.inCopy(ctx, build) },
		EditRecord:   x.describe,
	}
	if err := r.Catchup.SyncEnv(ctx, old, options); err != nil {
		return inside.Exit{}, false, err
	}
	if x.ended {
		return x.exit, true, nil
	}
	e, err := r.Registry.Get(old.Name)
	if err != nil {
		return inside.Exit{}, false, err
	}
	r.report.PropagateLogs(x.result)
	r.report.SetResult(e, false)
	r.made = &e
	tellReady(r.Notice, e)
	r.activate(ctx, e)
	r.replaceOlder(ctx, e) // this also updates the boot menu
	return x.exit, true, nil
}

// extension is an upgrade that extends an environment.
type extension struct {
	*run
	old be.Env

	exit      inside.Exit
	ended     bool // the environment stays unchanged
	result    sandbox.Result
	installed be.Changes
	identity  be.Identity
}

// inCopy runs the frontend in the copy, and reports whether the build has ended. After a
// failure it keeps the copy beside the environment for inspection.
func (x *extension) inCopy(ctx context.Context, build *be.Build) (ended bool, err error) {
	verdict, result, err := x.runFrontend(build)
	if err != nil {
		return false, err
	}
	x.exit, x.result = verdict.exit(), result
	switch verdict.State {
	case Ready:
		if x.installed, err = x.changes(build); err != nil {
			return false, err
		}
		x.identity, err = rootconf.Identify(x.Registry.Store().Path(build.Path))
		return false, err
	case Failed:
		x.ended = true
		if err := build.Split(ctx, ""); err != nil {
			return true, errors.Join(err, build.Discard(ctx))
		}
		x.exit, err = x.conclude(ctx, build, verdict, result)
		x.Notice.Say("%s is unchanged.", x.old.Name)
		return true, err
	default:
		x.ended = true
		x.report.PropagateLogs(result)
		x.tellUnchanged(x.old, result)
		return true, build.Discard(ctx)
	}
}

// describe updates the environment's record.
func (x *extension) describe(record *be.Record) {
	record.Extended, record.Changes = true, x.installed
	record.Title, record.Kernels = x.identity.Title, x.identity.Kernels
}
