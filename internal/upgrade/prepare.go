package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/rootconf"
)

// prepare makes the build's root name itself as the root, in its fstab and, if there is
// one, its kernel command line. It must run before the frontend, because the scripts of
// kernels and boot loaders read both.
//
// It cancels a prepared offline update (systemd.offline-updates(7)): the update belongs
// to the running system, and the new system, which has the upgrade already, must boot
// normally on trial.
//
// It reports whether etckeeper must commit these changes.
func (r *run) prepare(build *be.Build) (commit bool, err error) {
	root := r.Registry.Store().Path(build.Path)
	if err := os.Remove(filepath.Join(root, "system-update")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot cancel the offline update in the new boot environment: %w", err)
	}
	if commit, err = r.etcIsWatched(build); err != nil {
		return false, err
	}
	return commit, rootconf.SetRoot(r.Registry.Store(), build.Path, be.EnvDir+"/"+build.Name, build.Record.Parts)
}
