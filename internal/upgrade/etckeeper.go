package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inroot"
)

// etcCommits is etckeeper(8)'s setting that stops apt if /etc has uncommitted changes.
// apt-be changes /etc when it prepares a new environment's root. It commits these
// changes, because an administrator did not make them.
var etcCommits = regexp.MustCompile(`(?m)^[ \t]*AVOID_COMMIT_BEFORE_INSTALL=["']?1["']?[ \t]*(#.*)?$`)

const etckeeperConf = "/etc/etckeeper/etckeeper.conf"

// etcIsWatched reports whether etckeeper in a build's root would stop apt because of
// later changes in /etc, and only because of those.
func (u *Upgrader) etcIsWatched(build *be.Build) (bool, error) {
	conf, err := inroot.ReadFile(u.Registry.Store().Path(build.Path), etckeeperConf)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !etcCommits.Match(conf) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The script also fails without a repository; then etckeeper stops nothing.
	const clean, script = 3, "cd /etc; [ -e .git ] || [ -e .hg ] || [ -e .bzr ] || [ -e _darcs ] || exit 0; etckeeper unclean || exit 3"
	result, err := u.Launcher.Script(build, script)
	return result.ExitCode == clean, err
}

// commitEtc makes etckeeper in a build's root commit apt-be's own changes in /etc.
func (u *Upgrader) commitEtc(build *be.Build, why string) {
	result, err := u.Launcher.Script(build, `etckeeper unclean || exit 0; exec etckeeper commit "$1"`, "apt-be: "+why)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("etckeeper commit: exit status %d", result.ExitCode)
	}
	if err != nil {
		u.Log.WithError(err).Warnf("cannot commit what apt-be changed in /etc of %s", build.Name)
	}
}
