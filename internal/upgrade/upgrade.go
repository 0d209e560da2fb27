package upgrade

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/ui"
)

// Upgrader runs package frontends in new boot environments.
type Upgrader struct {
	Root     string // the directory at which the running system is mounted
	Registry *be.Registry
	Launcher *inside.Launcher
	Reporter *report.Reporter
	Catchup  Catchup
	Boot     Boot // nil if apt-be init was not run
	Notice   *ui.Notice
	Log      *logrus.Logger
}

// Boot is the interface of the host's boot loader that an upgrade needs.
type Boot interface {
	// CheckSpace fails if the boot loader's file system has no space for the kernel of
	// one more environment, with a kernel of about the size of origin's.
	CheckSpace(origin be.Env) error
	// Try arms a trial of an environment for the next boot. The caller holds the
	// registry's lock.
	Try(ctx context.Context, e be.Env, deadline time.Duration) error
	// Refresh updates the boot menu to the existing environments. The caller holds the
	// registry's lock.
	Refresh() error
}

// Catchup computes and carries the changes of the running system. A *catchup.Syncer
// implements it.
type Catchup interface {
	// Preview returns a summary of the files that changed in the running system since
	// an environment was made, or "". Its error says why these changes cannot be
	// carried.
	Preview(e be.Env) (summary string, err error)
	// SyncEnv replaces an environment with a copy that contains the running system's
	// changes. If it fails, the environment stays unchanged.
	SyncEnv(ctx context.Context, e be.Env, o catchup.Options) error
}

// patience is the time to wait for another process that writes to the registry. Such
// writes take well under a second.
const patience = 10 * time.Second

// run is one upgrade.
type run struct {
	*Upgrader
	*logKeeper
	job     Job
	signals *inside.Signals
	report  *report.Report
	origin  be.Env // the running environment

	outdated outdated // the pending environment that this upgrade makes anew
}

// Upgrade runs a job: it takes the locks, makes the snapshot, runs the frontend in the
// sandbox, and carries out the verdict. If it returns an error, nothing has changed,
// except as the error says.
func (u *Upgrader) Upgrade(ctx context.Context, job Job) (exit inside.Exit, err error) {
	r := &run{
		Upgrader: u,
		job:      job,
		signals:  inside.CatchSignals(),
		report:   &report.Report{Reporter: u.Reporter, Frontend: job.Frontend, Reboot: job.Reboot},
		logKeeper: &logKeeper{
			store:  u.Registry.Store(),
			logger: u.Log,
			log:    Log{Started: time.Now().UTC().Truncate(time.Second), Command: job.Argv},
		},
	}
	defer r.signals.Stop()
	defer r.collectWarnings()()

	if err := r.Registry.CheckReadable(); err != nil {
		return inside.Exit{}, fmt.Errorf("cannot upgrade: %w", err)
	}
	if err := r.findMounts(); err != nil {
		return inside.Exit{}, err
	}
	lock, err := r.takeDpkgLock()
	if errors.Is(err, context.Canceled) {
		return inside.Exit{Signal: r.signals.First()}, nil
	}
	if err != nil {
		return r.lockFailure(err)
	}
	defer lock.Release()
	defer func() { r.finish(err) }()
	return r.upgrade(ctx)
}

// upgrade is Upgrade with dpkg's locks.
func (r *run) upgrade(ctx context.Context) (exit inside.Exit, err error) {
	if r.origin, err = r.Registry.Running(); err != nil {
		return inside.Exit{}, err
	}
	if err := r.checkSpace(ctx); err != nil {
		return inside.Exit{}, fmt.Errorf("cannot upgrade: %w", err)
	}
	if r.job.Made == be.Redirect {
		exit, done, err := r.handlePending(ctx)
		if err != nil || done {
			return exit, err
		}
	}
	if r.Boot != nil {
		if err := r.Boot.CheckSpace(r.origin); err != nil {
			return inside.Exit{}, fmt.Errorf("cannot upgrade: %w", err)
		}
	}
	build, err := r.begin(ctx, r.origin)
	if err != nil {
		return inside.Exit{}, err
	}
	r.Notice.Say("%s runs in the new boot environment %s. The running system stays unchanged.", r.job.Argv[0], build.Name)
	verdict, result, err := r.runFrontend(build)
	if err != nil {
		return inside.Exit{}, errors.Join(err, build.Discard(ctx))
	}
	return r.conclude(ctx, build, verdict, result)
}

// begin starts a build from an origin.
func (r *run) begin(ctx context.Context, origin be.Env) (*be.Build, error) {
	own, err := parts.Of(r.Registry, origin)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer r.step("snapshot")()
	build, recovered, err := r.Registry.Begin(ctx, be.BuildOptions{
		Parts:     own,
		Name:      r.job.Name,
		Origin:    origin,
		CreatedBy: r.job.Made,
		Command:   r.job.Argv,
		LeaveOut:  r.job.LeaveOut,
	})
	report.TellRecovered(r.Notice, r.Log, recovered)
	if err == nil {
		for _, place := range build.HiddenParts {
			r.Notice.Say("Files below the mount point %s are in %s%s in the new boot environment.", place, place, be.Hidden)
		}
	}
	return build, err
}

// runFrontend runs the frontend in the build's root and judges the result.
func (r *run) runFrontend(build *be.Build) (Verdict, sandbox.Result, error) {
	commit, err := r.prepare(build)
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	if sig := r.signals.First(); sig != 0 {
		return Verdict{State: Discard, Signal: int(sig)}, sandbox.Result{}, nil
	}
	before, err := pkgdb.Fingerprint(r.Registry.Store().Path(build.Path))
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	result, cleanupErr, err := r.inSandbox(build, commit)
	if err != nil {
		return Verdict{}, result, err
	}
	if cleanupErr != nil { // usually because no space is left; the packages are not the cause
		return r.logged(build, failedVerdict(r.job.Frontend, result, cleanupErr)), result, nil
	}
	for _, note := range result.Notes {
		r.Log.Warn(note)
	}
	r.tellVeto(result)
	verdict, err := r.examine(build, before, result)
	return r.logged(build, verdict), result, err
}

// inSandbox runs the frontend in the sandbox of the build's root. commit says that
// etckeeper commits apt-be's own changes. cleanupErr is not nil if a temporary change of
// the root could not be undone.
func (r *run) inSandbox(build *be.Build, commit bool) (result sandbox.Result, cleanupErr, err error) {
	root := inside.RootOf(build)
	spec, err := r.Launcher.FrontendSpec(root, r.job.run())
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	defer r.Launcher.LendCache(&spec, root, r.job.Reads)()
	r.report.Collect(&spec)
	undivert, err := r.report.DivertSendmail(&spec, r.Registry.Store().Path(build.Path))
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	if commit {
		r.commitEtc(build, "the root of this system is "+be.EnvDir+"/"+build.Name)
	}
	process, err := sandbox.Start(spec, sandbox.Stdio{}, build.LockFile())
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	r.signals.Forward(process)
	done := r.step("frontend")
	result, err = process.Wait()
	done()
	if err != nil {
		return result, nil, err
	}
	r.log.ExitCode, r.log.Signal = result.ExitCode, int(result.Signal)
	r.report.Begin(result)
	cleanupErr = undivert()
	if commit && r.job.Reboot.Automatic {
		r.commitEtc(build, "it reboots by itself again")
	}
	return result, cleanupErr, sandbox.CleanUp(r.Registry.Store().Path(build.Path))
}

// examine completes the build's root after the frontend, and judges it. before is the
// fingerprint of the packages before the frontend ran.
func (r *run) examine(build *be.Build, before string, result sandbox.Result) (Verdict, error) {
	// Building the initramfs takes long, uses one processor, and reads other files than
	// the remaining steps.
	ctx := r.signals.Fresh()
	initramfs := r.Launcher.BuildInitramfs(ctx, build, r.job.Speed, result)
	outcome, why, err := r.inspect(ctx, build, before, result, initramfs)
	// No process may run in the sandbox's root when the build is discarded.
	_ = initramfs()
	err = errors.Join(err, sandbox.CleanUp(r.Registry.Store().Path(build.Path)))
	if err != nil {
		return Verdict{}, err
	}
	if outcome.Changed && !outcome.Healthy && outcome.Signal == 0 && ctx.Err() != nil {
		outcome.Signal = int(r.signals.First())
	}
	verdict := Judge(outcome)
	if why != "" && verdict.State == Failed {
		verdict.Reason = why
	}
	return verdict, nil
}

// conclude carries out a verdict.
func (r *run) conclude(ctx context.Context, build *be.Build, v Verdict, result sandbox.Result) (inside.Exit, error) {
	exit := v.exit()
	switch v.State {
	case Discard:
		r.report.PropagateLogs(result)
		if err := build.Discard(ctx); err != nil {
			return exit, err
		}
		r.Notice.Say("No package changed, so no boot environment was created.")
	case Failed:
		if short := r.lowSpace(); short != nil {
			err := build.Discard(ctx) // before anything is written
			r.report.PropagateLogs(result)
			tellLowSpace(r.Notice, v.Reason, short)
			return exit, err
		}
		e, err := r.commit(ctx, build, be.Failed, v.Reason)
		if err != nil {
			return exit, err
		}
		r.report.PropagateLogs(result)
		tellFailed(r.Notice, e)
		r.replaceOlder(ctx, e)
	case Ready:
		// Before the commit, because the process may end there, and after it, because
		// another process may have checked meanwhile.
		if err := forgetNothingPending(); err != nil {
			return exit, errors.Join(err, build.Discard(ctx))
		}
		e, err := r.commit(ctx, build, be.Ready, "")
		if err != nil {
			return exit, err
		}
		if err := forgetNothingPending(); err != nil {
			r.Log.WithError(err).Warn("cannot watch for changes of packages")
		}
		r.report.PropagateLogs(result)
		tellReady(r.Notice, e)
		r.activate(ctx, e)
		r.replaceOlder(ctx, e)
	}
	return exit, nil
}

// exit returns the end of this process that a verdict demands.
func (v Verdict) exit() inside.Exit {
	return inside.Exit{Code: v.ExitCode, Signal: syscall.Signal(v.Signal)}
}

// commit writes the description of the build's root to its record, and commits the
// build: the environment exists from now on.
func (r *run) commit(ctx context.Context, build *be.Build, state be.State, reason string) (be.Env, error) {
	path := r.Registry.Store().Path(build.Path)
	changes, err := r.changes(build)
	if err != nil && state == be.Ready {
		return be.Env{}, errors.Join(err, build.Discard(ctx))
	}
	identity, err := rootconf.Identify(path)
	if err != nil {
		r.Log.WithError(err).Warn("cannot identify the new boot environment")
	}
	if state == be.Ready {
		r.giveSwap(build)
	}
	defer r.step("commit")()
	e, err := build.Commit(ctx, state, func(record *be.Record) {
		record.Changes, record.Reason = changes, reason
		record.Title, record.Kernels = identity.Title, identity.Kernels
	})
	if err == nil {
		r.report.SetResult(e, true)
		r.made = &e
	}
	return e, err
}

// finish reports the result to the running system. failure is the reason if the upgrade
// failed.
func (r *run) finish(failure error) {
	if r.report.Ran() {
		r.log.Messages = r.report.Messages()
		armed, err := r.armed()
		r.report.Finish(armed, err, failure)
	}
	r.keepLog()
}
