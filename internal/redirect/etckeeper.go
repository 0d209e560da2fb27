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

// etcCommits is etckeeper(8)'s option by which it stops apt if anything in /etc is
// not committed. It has to be left what was committed when a new environment's root
// is named there: that is nothing that an administrator forgot.
var etcCommits = regexp.MustCompile(`(?m)^[ \t]*AVOID_COMMIT_BEFORE_INSTALL=["']?1["']?[ \t]*(#.*)?$`)

const etckeeperConf = "/etc/etckeeper/etckeeper.conf"

// etcIsWatched says whether etckeeper in a build's root would stop apt for what is
// changed in /etc from here on, and only for that.
func (s *Supervisor) etcIsWatched(build *be.Build) (bool, error) {
	conf, err := inroot.ReadFile(s.Registry.Store().Path(build.Path), etckeeperConf)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !etcCommits.Match(conf) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// It also fails where there is no repository; then it stops nothing.
	const clean, script = 3, "cd /etc; [ -e .git ] || [ -e .hg ] || [ -e .bzr ] || [ -e _darcs ] || exit 0; etckeeper unclean || exit 3"
	result, err := s.quietly(build, script)
	return result.ExitCode == clean, err
}

// quietly runs a script in the sandbox in which the frontend will run, with all that
// is mounted there: what is seen of /etc is what that will see.
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

// commitEtc has etckeeper in a build's root commit what apt-be has changed in /etc.
func (s *Supervisor) commitEtc(build *be.Build, why string) {
	result, err := s.quietly(build, `etckeeper unclean || exit 0; exec etckeeper commit "$1"`, "apt-be: "+why)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("etckeeper commit: exit status %d", result.ExitCode)
	}
	if err != nil {
		s.Log.WithError(err).Warnf("cannot commit what apt-be changed in /etc of %s", build.Name)
	}
}
