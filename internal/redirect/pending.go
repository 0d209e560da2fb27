package redirect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// NothingPending is there while no environment waits to be booted, so that
// dpkg's hook is quick then. It is gone after a reboot: then dpkg's hook asks.
const NothingPending = runDir + "/nothing-pending"

func forgetNothingPending() error {
	err := os.Remove(NothingPending)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// PackagesChanged says whether packages of the running system changed since an
// environment was made of it: what was installed or removed since is missing in
// the environment, and would be lost with the next boot.
func PackagesChanged(reg *be.Registry, e be.Env) (bool, error) {
	running, err := reg.Running()
	if err != nil {
		return false, err
	}
	base, err := reg.BaseOf(e)
	if err != nil {
		return false, err
	}
	return pkgdb.Changed(reg.Store().Path(base.Path), reg.Dir(running))
}

// earlier finds the environment that an earlier redirect made of the running
// one and that was not booted yet.
func (s *Supervisor) earlier(origin be.Env) (be.Env, bool, error) {
	envs, err := s.Registry.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range slices.Backward(envs) {
		if e.Record.CreatedBy == be.Redirect && e.Pending() && e.Record.OriginUUID == origin.Subvolume.UUID {
			return e, true, nil
		}
	}
	return be.Env{}, false, nil
}

// handlePending deals with an environment that an earlier redirect made and that
// was not booted yet. What that has must not be lost to an upgrade that does less:
//
//   - the same upgrade again, with nothing new, makes none;
//   - the same with something new makes one anew, of the running system;
//   - another upgrade goes on with the one that there is. So does any if somebody
//     worked in it, or if more than one upgrade made it.
//
// One that the user keeps is left alone.
func (s *Supervisor) handlePending(ctx context.Context, job Job, origin be.Env, signals *signals) (exit Exit, done bool, err error) {
	old, found, err := s.earlier(origin)
	if err != nil || !found || old.Record.Kept {
		return Exit{}, false, err
	}
	news, err := s.changedSince(origin, old)
	if err != nil {
		s.Log.WithError(err).Warnf("cannot compare the running system with %s", old.Name)
		news = "it can't be compared with the running system"
	}
	same := sameCommand(job.Argv, old.Record.Command)
	packages, err := PackagesChanged(s.Registry, old)
	switch {
	case err != nil:
		return Exit{}, false, err
	case packages && old.Record.Modified:
		return Exit{}, false, fmt.Errorf("cannot replace the boot environment %s, which waits to be booted: %w", old.Name, &ChangedByHandError{old.Name})
	case packages:
		news = "packages of the running system changed"
	case same && news == "":
		return s.again(ctx, job, old, signals)
	case !same || old.Record.Modified || old.Record.Extended:
		return s.extend(ctx, job, old, signals)
	}
	s.Notice.Say("%s waits to be booted, but %s since it was made. It is made anew.", old.Name, news)
	s.outdated = outdated{old.Name, news}
	return Exit{}, false, nil
}

// outdated is an environment that a job makes anew, and why.
type outdated struct{ name, why string }

// ChangedByHandError says that an upgrade would replace an environment that somebody
// worked in.
type ChangedByHandError struct{ Name string }

// Error implements error.
func (e *ChangedByHandError) Error() string { return "somebody worked in it" }

// Is says that it is an error of kind be.ErrProtected.
func (e *ChangedByHandError) Is(target error) bool { return target == be.ErrProtected }

// sameCommand says whether two commands are the same upgrade, however the frontend
// was found.
func sameCommand(a, b []string) bool {
	return len(a) > 0 && len(b) > 0 && filepath.Base(a[0]) == filepath.Base(b[0]) && slices.Equal(a[1:], b[1:])
}

// changedSince says what an upgrade would find in the running system that was not there
// when an environment was made of it: "" if nothing.
func (s *Supervisor) changedSince(origin, old be.Env) (string, error) {
	base, err := s.Registry.BaseOf(old)
	if err != nil {
		return "", err
	}
	st := s.Registry.Store()
	then := st.Path(base.Path)
	for _, part := range []struct {
		now  string // /var may be a subvolume of its own; /etc is shown by the store without the files that are mounted in it
		dir  string
		want func(path string) bool
		says string // "" is for the file that changed
	}{
		{s.Registry.Dir(origin), "/var/lib/apt/lists", func(path string) bool { return strings.Contains(filepath.Base(path), "_Packages") }, "the package lists"},
		{s.Registry.Dir(origin), "/var/cache/debconf", isDebconfAnswers, "answers to debconf's questions"},
		{st.Path(origin.Subvolume.Path), "/etc", mattersToPackages(), ""},
	} {
		file, err := firstChanged(filepath.Join(then, part.dir), filepath.Join(part.now, part.dir), part.want)
		if err != nil {
			return "", err
		}
		if file == "" {
			continue
		}
		if part.says == "" {
			part.says = filepath.Join(part.dir, file)
		}
		return part.says + " changed", nil
	}
	return "", nil
}

// mattersToPackages returns what says whether a file in /etc may change what an
// upgrade makes. One that is of this moment, such as the resolver's, does not: it is
// taken along, whatever it becomes.
func mattersToPackages() func(path string) bool {
	rules := merge.DefaultRules()
	return func(path string) bool {
		rule, ok := rules.For(filepath.Join("/etc", path))
		return !ok || rule.Action != merge.Overwrite && rule.Action != merge.Upgrade && rule.Action != merge.Ignore
	}
}

// isDebconfAnswers says whether debconf keeps answers in a file (debconf.conf(5)).
func isDebconfAnswers(path string) bool {
	name := filepath.Base(path)
	return name == "config.dat" || name == "passwords.dat"
}

// again runs a job that repeats an earlier one in a throw-away copy of what
// that made: the frontend then says that there is nothing to do, as after an
// upgrade in place. done is false if it found something after all.
func (s *Supervisor) again(ctx context.Context, job Job, old be.Env, signals *signals) (exit Exit, done bool, err error) {
	build, err := s.begin(ctx, job, old)
	if err != nil {
		return Exit{}, false, err
	}
	s.Notice.Say("%s looks at the boot environment %s, which waits to be booted.", job.Argv[0], old.Name)
	verdict, result, err := s.run(build, job, signals)
	err = errors.Join(err, build.Discard(ctx))
	if err != nil {
		return Exit{}, false, err
	}
	if verdict.State != Discard {
		s.Notice.Say("There was something new after all: once more, on top of the running system.")
		return Exit{}, false, nil
	}
	s.propagateLogs(job, result)
	s.tellUnchanged(old, result)
	return Exit{Code: verdict.ExitCode, Signal: syscall.Signal(verdict.Signal)}, true, nil
}
