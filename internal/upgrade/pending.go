package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/merge"
)

// NothingPending is a file that exists while no environment is pending, so that dpkg's
// hook can return early. It disappears with a reboot; then the hook checks.
const NothingPending = inside.RunDir + "/nothing-pending"

func forgetNothingPending() error {
	err := os.Remove(NothingPending)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// earlier returns the pending environment that an earlier redirect made from the
// running one.
func (r *run) earlier(origin be.Env) (be.Env, bool, error) {
	envs, err := r.Registry.List()
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

// handlePending handles a pending environment that an earlier redirect made. An upgrade
// that does less must not lose the environment's packages:
//
//   - The same upgrade again, with nothing new, makes no environment.
//   - The same upgrade with something new makes a new environment from the running system.
//   - Another upgrade extends the pending environment. So does any upgrade if a user has
//     worked in it, or if more than one upgrade made it.
//
// It ignores an environment that the user keeps.
func (r *run) handlePending(ctx context.Context) (exit inside.Exit, done bool, err error) {
	old, found, err := r.earlier(r.origin)
	if err != nil || !found || old.Record.Kept {
		return inside.Exit{}, false, err
	}
	news, err := r.changedSince(r.origin, old)
	if err != nil {
		r.Log.WithError(err).Warnf("cannot compare the running system with %s", old.Name)
		news = "it can't be compared with the running system"
	}
	same := sameCommand(r.job.Argv, old.Record.Command)
	packages, err := catchup.PackagesChanged(r.Registry, old)
	switch {
	case err != nil:
		return inside.Exit{}, false, err
	case packages && old.Record.Modified:
		return inside.Exit{}, false, fmt.Errorf("cannot replace the pending boot environment %s: %w", old.Name, &ChangedByHandError{old.Name})
	case packages:
		news = "packages of the running system changed"
	case same && news == "":
		return r.again(ctx, old)
	case !same || old.Record.Modified || old.Record.Extended:
		return r.extend(ctx, old)
	}
	r.Notice.Say("The pending boot environment %s is outdated: %s since it was made. This upgrade replaces it.", old.Name, news)
	r.outdated = outdated{old.Name, news}
	return inside.Exit{}, false, nil
}

// outdated is an environment that a job makes anew, and the reason.
type outdated struct{ name, why string }

// ChangedByHandError reports that an upgrade would replace an environment in which a
// user has worked.
type ChangedByHandError struct{ Name string }

// Error implements error.
func (e *ChangedByHandError) Error() string { return "somebody worked in it" }

// Is reports that the error is of kind be.ErrProtected.
func (e *ChangedByHandError) Is(target error) bool { return target == be.ErrProtected }

// sameCommand reports whether two commands are the same upgrade, regardless of the
// frontend's path.
func sameCommand(a, b []string) bool {
	return len(a) > 0 && len(b) > 0 && filepath.Base(a[0]) == filepath.Base(b[0]) && slices.Equal(a[1:], b[1:])
}

// changedSince describes the changes of the running system since an environment was
// made that would affect an upgrade; "" if there are none.
func (r *run) changedSince(origin, old be.Env) (string, error) {
	base, err := r.Registry.BaseOf(old)
	if err != nil {
		return "", err
	}
	st := r.Registry.Store()
	then := st.Path(base.Path)
	for _, part := range []struct {
		now  string // /var may be a subvolume of its own; in the store, /etc does not show the files that are mounted in it
		dir  string
		want func(path string) bool
		says string // "" means: name the changed file
	}{
		{r.Registry.Dir(origin), "/var/lib/apt/lists", func(path string) bool { return strings.Contains(filepath.Base(path), "_Packages") }, "the package lists"},
		{r.Registry.Dir(origin), "/var/cache/debconf", isDebconfAnswers, "answers to debconf's questions"},
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

// mattersToPackages returns a function that reports whether a file in /etc may affect
// an upgrade. Files of the moment, such as resolv.conf, do not; they are carried
// anyway.
func mattersToPackages() func(path string) bool {
	rules := merge.DefaultRules()
	return func(path string) bool {
		rule, ok := rules.For(filepath.Join("/etc", path))
		return !ok || rule.Action != merge.Overwrite && rule.Action != merge.Upgrade && rule.Action != merge.Ignore
	}
}

// isDebconfAnswers reports whether debconf stores answers in a file (debconf.conf(5)).
func isDebconfAnswers(path string) bool {
	name := filepath.Base(path)
	return name == "config.dat" || name == "passwords.dat"
}

// again repeats a job in a temporary copy of the environment that an earlier one made.
// The frontend then reports that nothing is to do, as after an upgrade in place. done
// is false if the frontend found something to do.
func (r *run) again(ctx context.Context, old be.Env) (exit inside.Exit, done bool, err error) {
	build, err := r.begin(ctx, old)
	if err != nil {
		return inside.Exit{}, false, err
	}
	r.Notice.Say("%s checks the pending boot environment %s.", r.job.Argv[0], old.Name)
	verdict, result, err := r.runFrontend(build)
	err = errors.Join(err, build.Discard(ctx))
	if err != nil {
		return inside.Exit{}, false, err
	}
	if verdict.State != Discard {
		r.Notice.Say("Something is newer, so the upgrade starts again from the running system.")
		return inside.Exit{}, false, nil
	}
	r.report.PropagateLogs(result)
	r.tellUnchanged(old, result)
	return verdict.exit(), true, nil
}
