package redirect

import (
	"bytes"
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

// ErrHandMade says that an upgrade would replace an environment that somebody
// worked in.
var ErrHandMade = fmt.Errorf("%w: somebody worked in it", be.ErrProtected)

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
	return pkgdb.Changed(reg.Store().Path(base.Path), reg.Store().Path(running.Subvolume.Path))
}

// earlier finds the environment that an earlier redirect made of the running
// one and that was not booted yet.
func (s *Supervisor) earlier(origin be.Env) (be.Env, bool, error) {
	envs, err := s.Registry.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range slices.Backward(envs) {
		if e.Record.Made == be.Redirect && e.Pending() && e.Record.OriginUUID == origin.Subvolume.UUID {
			return e, true, nil
		}
	}
	return be.Env{}, false, nil
}

// repeats says whether a job would only do again what made an earlier
// environment: the same command, and the running system's packages, package
// lists and configuration as they were.
func (s *Supervisor) repeats(job Job, origin, old be.Env) (bool, error) {
	if len(job.Argv) == 0 || len(old.Record.Command) == 0 || !slices.Equal(job.Argv[1:], old.Record.Command[1:]) ||
		filepath.Base(job.Argv[0]) != filepath.Base(old.Record.Command[0]) {
		return false, nil
	}
	changed, err := PackagesChanged(s.Registry, old)
	if err != nil || changed {
		return false, err
	}
	base, err := s.Registry.BaseOf(old)
	if err != nil {
		return false, err
	}
	// By the store, which shows a subvolume without what is mounted in it.
	then, now := s.Registry.Store().Path(base.Path), s.Registry.Store().Path(origin.Subvolume.Path)
	isPackageList := func(path string) bool { return strings.Contains(filepath.Base(path), "_Packages") }
	for _, part := range []struct {
		dir  string
		want func(path string) bool
	}{
		{"/etc", func(string) bool { return true }},
		{"/var/lib/apt/lists", isPackageList},
	} {
		same, err := sameTree(filepath.Join(then, part.dir), filepath.Join(now, part.dir), part.want)
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
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
	verdict, result, err := s.run(ctx, build, job, signals)
	err = errors.Join(err, build.Discard(ctx))
	if err != nil {
		return Exit{}, false, err
	}
	if verdict.State != Discard {
		s.Notice.Say("There was something new after all: once more, on top of the running system.")
		return Exit{}, false, nil
	}
	s.propagateLogs(job, result)
	s.Notice.Say("Nothing is newer than in %s.", old.Name)
	return Exit{Code: verdict.ExitCode, Signal: syscall.Signal(verdict.Signal)}, true, nil
}

// sameTree says whether two directories hold the same files, of those that
// want picks: types, modes, owners, link targets and contents.
func sameTree(a, b string, want func(path string) bool) (bool, error) {
	left, err := snapshotTree(a, want)
	if err != nil {
		return false, err
	}
	right, err := snapshotTree(b, want)
	if err != nil || len(left) != len(right) {
		return false, err
	}
	for path, x := range left {
		y, ok := right[path]
		if !ok || x.kind != y.kind || x.target != y.target {
			return false, nil
		}
		if x.mtime == y.mtime {
			continue
		}
		same, err := sameContent(filepath.Join(a, path), filepath.Join(b, path))
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// kind is what a file is, apart from its content.
type kind struct {
	mode     fs.FileMode
	uid, gid uint32
	size     int64
}

type treeEntry struct {
	kind   kind
	target string
	mtime  int64 // ns since the epoch; 0 for all but regular files
}

func snapshotTree(root string, want func(path string) bool) (map[string]treeEntry, error) {
	entries := map[string]treeEntry{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() || !want(path) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		st := info.Sys().(*syscall.Stat_t)
		e := treeEntry{kind: kind{mode: info.Mode(), uid: st.Uid, gid: st.Gid, size: info.Size()}}
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			e.target, _ = os.Readlink(path)
		case info.Mode().IsRegular():
			e.mtime = info.ModTime().UnixNano()
		}
		rel, err := filepath.Rel(root, path)
		entries[rel] = e
		return err
	})
	return entries, err
}

func sameContent(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}
