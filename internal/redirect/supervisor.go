package redirect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/rebootrequired"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// Supervisor runs package frontends in new boot environments.
type Supervisor struct {
	Registry *be.Registry
	Inside   Inside
	Notice   *ui.Notice
	Log      logrus.FieldLogger
	Boot     Boot // nil if apt-be init was not run
	System   System
	Flag     rebootrequired.Flag // of the running system
	// Drift returns a summary of the files that changed in the running system since an
	// environment was made, or "". Its error says why these changes cannot be carried.
	Drift func(e be.Env) (summary string, err error)
	// CatchUp makes a copy of an environment that contains the running system's
	// changes, calls then for the copy, and replaces the environment by the copy. edit
	// changes the record. If then fails or ends the build, the environment stays
	// unchanged. The caller holds dpkg's locks.
	CatchUp func(ctx context.Context, e be.Env, then func(*be.Build) (ended bool, err error), edit func(*be.Record)) error

	report   report
	outdated outdated
}

// Boot is the interface of the host's boot loader that a supervisor needs.
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

// Upgrade runs a job: it takes the locks, makes the snapshot, runs the frontend in the
// sandbox, and carries out the verdict. If it returns an error, nothing has changed,
// except as the error says.
func (s *Supervisor) Upgrade(ctx context.Context, job Job) (exit Exit, err error) {
	signals := catchSignals()
	defer signals.stop()

	if err := s.Registry.CheckReadable(); err != nil {
		return Exit{}, fmt.Errorf("cannot upgrade: %w", err)
	}
	if err := s.findMounts(); err != nil {
		return Exit{}, err
	}
	lock, err := takeDpkgLock(signals.any, job)
	if errors.Is(err, context.Canceled) {
		return Exit{Signal: signals.first()}, nil
	}
	if err != nil {
		return s.lockFailure(job, err)
	}
	defer lock.Release()
	defer func() { s.finish(job, err) }()
	origin, err := s.Registry.Running()
	if err != nil {
		return Exit{}, err
	}
	if err := s.checkSpace(ctx); err != nil {
		return Exit{}, fmt.Errorf("cannot upgrade: %w", err)
	}
	if job.Made == be.Redirect {
		exit, done, err := s.handlePending(ctx, job, origin, signals)
		if err != nil || done {
			return exit, err
		}
	}
	if s.Boot != nil {
		if err := s.Boot.CheckSpace(origin); err != nil {
			return Exit{}, fmt.Errorf("cannot upgrade: %w", err)
		}
	}
	build, err := s.begin(ctx, job, origin)
	if err != nil {
		return Exit{}, err
	}
	s.Notice.Say("%s runs in the new boot environment %s. The running system stays unchanged.", job.Argv[0], build.Name)
	verdict, result, err := s.run(build, job, signals)
	if err != nil {
		return Exit{}, errors.Join(err, build.Discard(ctx))
	}
	return s.conclude(ctx, build, job, verdict, result)
}

// patience is the time to wait for another process that writes to the registry. Such
// writes take well under a second.
const patience = 10 * time.Second

// begin starts the build that a job runs in.
func (s *Supervisor) begin(ctx context.Context, job Job, origin be.Env) (*be.Build, error) {
	own, err := parts.Of(s.Registry, origin)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	build, recovered, err := s.Registry.Begin(ctx, be.BuildOptions{
		Parts:     own,
		Name:      job.Name,
		Origin:    origin,
		CreatedBy: job.Made,
		Command:   job.Argv,
		LeaveOut:  job.LeaveOut,
	})
	TellRecovered(s.Notice, s.Log, recovered)
	if err == nil {
		for _, place := range build.HiddenParts {
			s.Notice.Say("Files below the mount point %s are in %s%s in the new boot environment.", place, place, be.Hidden)
		}
	}
	return build, err
}

// run runs the frontend in the build's root and judges the result.
func (s *Supervisor) run(build *be.Build, job Job, signals *signals) (Verdict, sandbox.Result, error) {
	commit, err := s.prepare(build)
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	if sig := signals.first(); sig != 0 {
		return Verdict{State: Discard, Signal: int(sig)}, sandbox.Result{}, nil
	}
	root := Root{Name: build.Name, Subvolume: build.Path, UUID: build.Scratch, Parts: build.Record.Parts}
	before, err := pkgdb.Fingerprint(s.Registry.Store().Path(build.Path))
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	path, err := job.Frontend.RealPath(s.Registry.Store().Path(build.Path))
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	spec, err := s.Inside.Spec(root, path, job.Argv)
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	collect(&spec, job.Frontend)
	job.Reads.Files = append(filesAmong(job.Argv[1:]), job.Reads.Files...)
	if err := job.Reads.show(&spec); err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	applySpeed(&spec, job.Speed)
	if err := noteOutside(&spec, job.AllowOutside); err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	defer s.lendCache(&spec, root, job.Reads)()
	tellRebootDue(&spec)
	undivert, err := s.divertSendmail(&spec, job, s.Registry.Store().Path(build.Path))
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	if commit {
		s.commitEtc(build, "the root of this system is "+be.EnvDir+"/"+build.Name)
	}
	process, err := sandbox.Start(spec, sandbox.Stdio{}, build.LockFile())
	if err != nil {
		return Verdict{}, sandbox.Result{}, err
	}
	signals.forward(process)
	result, err := process.Wait()
	if err != nil {
		return Verdict{}, result, err
	}
	s.report.begin(result)
	s.Notice.Hear(s.report.hear)
	cleanupFailed := undivert()
	if commit && job.Reboot.Automatic {
		s.commitEtc(build, "it reboots by itself again")
	}
	if err := sandbox.CleanUp(s.Registry.Store().Path(build.Path)); err != nil {
		return Verdict{}, result, err
	}
	if cleanupFailed != nil { // usually because no space is left; the packages are not the cause
		return failedVerdict(job.Frontend, result, cleanupFailed), result, nil
	}
	for _, note := range result.Notes {
		s.Log.Warn(note)
	}
	s.tellVeto(job, result)
	// Building the initramfs takes long, uses one processor, and reads other files than
	// the remaining steps.
	ctx := signals.fresh()
	initramfs := s.buildInitramfs(ctx, build, job, result)
	outcome, why, err := s.inspect(ctx, build, job, before, result, initramfs)
	// No process may run in the sandbox's root when the build is discarded.
	_ = initramfs()
	err = errors.Join(err, sandbox.CleanUp(s.Registry.Store().Path(build.Path)))
	if err != nil {
		return Verdict{}, result, err
	}
	if outcome.Changed && !outcome.Healthy && outcome.Signal == 0 && ctx.Err() != nil {
		outcome.Signal = int(signals.first())
	}
	verdict := Judge(outcome)
	if why != "" && verdict.State == Failed {
		verdict.Reason = why
	}
	return verdict, result, nil
}

// conclude carries out a verdict.
func (s *Supervisor) conclude(ctx context.Context, build *be.Build, job Job, v Verdict, result sandbox.Result) (Exit, error) {
	exit := Exit{Code: v.ExitCode, Signal: syscall.Signal(v.Signal)}
	switch v.State {
	case Discard:
		s.propagateLogs(job, result)
		if err := build.Discard(ctx); err != nil {
			return exit, err
		}
		s.Notice.Say("No package changed, so no boot environment was created.")
	case Failed:
		if short := s.lowSpace(); short != nil {
			err := build.Discard(ctx) // before anything is written
			s.propagateLogs(job, result)
			s.tellLowSpace(v.Reason, short)
			return exit, err
		}
		e, err := s.commit(ctx, build, be.Failed, v.Reason)
		if err != nil {
			return exit, err
		}
		s.propagateLogs(job, result)
		s.tellFailed(e)
		s.replaceOlder(ctx, e)
	case Ready:
		// Before the commit, because the process may end there, and after it, because
		// another process may have checked meanwhile.
		if err := forgetNothingPending(); err != nil {
			return exit, errors.Join(err, build.Discard(ctx))
		}
		e, err := s.commit(ctx, build, be.Ready, "")
		if err != nil {
			return exit, err
		}
		if err := forgetNothingPending(); err != nil {
			s.Log.WithError(err).Warn("cannot watch for changes of packages")
		}
		s.propagateLogs(job, result)
		s.tellReady(e)
		s.activate(ctx, job, e)
		s.replaceOlder(ctx, e)
	}
	return exit, nil
}

// commit writes the description of the build's root to its record, and commits the
// build.
func (s *Supervisor) commit(ctx context.Context, build *be.Build, state be.State, reason string) (be.Env, error) {
	path := s.Registry.Store().Path(build.Path)
	changes, err := s.changes(build)
	if err != nil && state == be.Ready {
		return be.Env{}, errors.Join(err, build.Discard(ctx))
	}
	identity, err := Identify(path)
	if err != nil {
		s.Log.WithError(err).Warn("cannot identify the new boot environment")
	}
	if state == be.Ready {
		s.giveSwap(build)
	}
	e, err := build.Commit(ctx, state, func(r *be.Record) {
		r.Changes, r.Reason = changes, reason
		r.Title, r.Kernels = identity.Title, identity.Kernels
	})
	if err == nil {
		s.report.env, s.report.isNew = &e, true
	}
	return e, err
}

// replaceOlder destroys the environments that a new one makes useless: earlier
// redirected upgrades that were never booted, and older failed ones.
func (s *Supervisor) replaceOlder(ctx context.Context, e be.Env) {
	release, err := s.Registry.Lock(ctx)
	if err != nil {
		s.Log.WithError(err).Warn("cannot destroy the boot environments that this one replaces")
		return
	}
	defer release()
	defer s.refreshMenu()
	envs, err := s.Registry.List()
	if err != nil {
		s.Log.WithError(err).Warn("cannot destroy the boot environments that this one replaces")
		return
	}
	for _, old := range envs {
		if !Replaces(e, old) || be.CheckDestroy(envs, old.Name, s.inUse) != nil {
			continue
		}
		err := s.Registry.Destroy(ctx, old)
		if lost := (*be.NestedError)(nil); errors.As(err, &lost) {
			s.Notice.Say("%s is not replaced: %v. To delete it with these subvolumes, run `apt-be destroy --accept-risk delete-nested %s`.", old.Name, lost, old.Name)
			continue
		}
		if err != nil {
			s.Log.WithError(err).Warnf("cannot destroy boot environment %s", old.Name)
			continue
		}
		if e.Record.State != be.Failed {
			why := ""
			if s.outdated.name == old.Name {
				why = ", because " + s.outdated.why + " since it was made"
			}
			s.Notice.Say("It replaces the pending environment %s%s.", old.Name, why)
		}
	}
}

// inUse reports whether a process runs in an environment, or it is mounted. It returns
// true if that cannot be determined.
func (s *Supervisor) inUse(e be.Env) bool {
	dirs, err := mounts.Of(s.Registry.Store().Device(), e.Subvolume.Path)
	return err != nil || len(dirs) > 0 || s.Registry.InUse(e)
}

// Replaces reports whether a new environment makes an older one useless.
func Replaces(e, old be.Env) bool {
	if old.Name == e.Name || old.Record.Kept || old.Record.Modified || old.Armed || old.Record.CreatedBy != be.Redirect && old.Record.CreatedBy != be.Command {
		return false
	}
	if e.Record.State == be.Failed {
		return old.Record.State == be.Failed
	}
	return e.Record.CreatedBy == be.Redirect && old.Record.CreatedBy == be.Redirect &&
		(old.Record.State == be.Ready || old.Record.State == be.Stale) && old.Record.OriginUUID == e.Record.OriginUUID
}

// TellRecovered prints what recovery did with the leftovers of interrupted runs.
func TellRecovered(notice *ui.Notice, log logrus.FieldLogger, recovered []txn.Recovered) {
	for _, r := range recovered {
		switch {
		case r.Err != nil:
			log.WithError(r.Err).Warnf("cannot clean up after a run that was cut off (%s)", r.Title)
		case !r.Done && r.Title == "": // a power cut removed its journal, too
			notice.Say("Cleaned up after a run that was cut off.")
		case !r.Done:
			notice.Say("Cleaned up after a run that was cut off (%s, process %d).", r.Title, r.PID)
		}
	}
}

// takeDpkgLock takes dpkg's locks. It waits as long as apt would, or until ctx ends.
func takeDpkgLock(ctx context.Context, job Job) (*dpkglock.Lock, error) {
	end := time.Now().Add(job.LockTimeout)
	for waiting := false; ; {
		lock, err := dpkglock.Take("/")
		var busy *dpkglock.BusyError
		if err == nil || !errors.As(err, &busy) {
			return lock, err
		}
		if job.LockTimeout >= 0 && time.Now().After(end) {
			return nil, err
		}
		if !waiting {
			waiting = true
			fmt.Fprintf(os.Stderr, "Waiting for cache lock: %s\n", lockMessage(busy))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
