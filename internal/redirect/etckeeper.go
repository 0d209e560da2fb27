package redirect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// etcCommits is etckeeper(8)'s setting that stops apt if /etc has uncommitted changes.
// apt-be changes /etc when it prepares a new environment's root. It commits these
// changes, because an administrator did not make them.
var etcCommits = regexp.MustCompile(`(?m)^[ \t]*AVOID_COMMIT_BEFORE_INSTALL=["']?1["']?[ \t]*(#.*)?$`)

const etckeeperConf = "/etc/etckeeper/etckeeper.conf"

// etcIsWatched reports whether etckeeper in a build's root would stop apt because of
// later changes in /etc, and only because of those.
func (s *Supervisor) etcIsWatched(build *be.Build) (bool, error) {
	conf, err := inroot.ReadFile(s.Registry.Store().Path(build.Path), etckeeperConf)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !etcCommits.Match(conf) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The script also fails without a repository; then etckeeper stops nothing.
	const clean, script = 3, "cd /etc; [ -e .git ] || [ -e .hg ] || [ -e .bzr ] || [ -e _darcs ] || exit 0; etckeeper unclean || exit 3"
	result, err := s.quietly(build, script)
	return result.ExitCode == clean, err
}

// quietly runs a script in the frontend's sandbox, with all its mounts, so that the
// script sees the same /etc as the frontend.
func (s *Supervisor) quietly(build *be.Build, script string, args ...string) (sandbox.Result, error) {
	root := Root{Name: build.Name, Subvolume: build.Path, UUID: build.Scratch, Parts: build.Record.Parts}
	spec, err := s.Inside.Spec(root, "/bin/sh", append([]string{"sh", "-c", script, "sh"}, args...))
	if err != nil {
		return sandbox.Result{}, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer null.Close()
	return sandbox.Run(spec, sandbox.Stdio{In: null, Out: null, Err: null}, build.LockFile())
}

// commitEtc makes etckeeper in a build's root commit apt-be's own changes in /etc.
func (s *Supervisor) commitEtc(build *be.Build, why string) {
	result, err := s.quietly(build, `etckeeper unclean || exit 0; exec etckeeper commit "$1"`, "apt-be: "+why)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("etckeeper commit: exit status %d", result.ExitCode)
	}
	if err != nil {
		s.Log.WithError(err).Warnf("cannot commit what apt-be changed in /etc of %s", build.Name)
	}
}
