package redirect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/store"
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
func (s *Supervisor) prepare(build *be.Build) (commit bool, err error) {
	root := s.Registry.Store().Path(build.Path)
	if err := os.Remove(filepath.Join(root, "system-update")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot cancel the offline update in the new boot environment: %w", err)
	}
	if commit, err = s.etcIsWatched(build); err != nil {
		return false, err
	}
	return commit, SetRoot(s.Registry.Store(), build.Path, be.EnvDir+"/"+build.Name, build.Record.Parts)
}

// SetRoot makes the root file system in a subvolume of a store use another subvolume as
// its root: the place that it has or will get. It does the same for the root's parts.
func SetRoot(st store.Store, at, subvolume string, parts []be.Part) error {
	root := st.Path(at)
	own := map[string]string{}
	for _, part := range parts {
		entry := cmp.Or(part.Named, part.Place)
		own[entry] = "" // a directory of the root, over which nothing may be mounted
		if _, err := st.Get(path.Join(at, part.Place)); err == nil {
			own[entry] = subvolume + part.Place
		}
	}
	err := inroot.Edit(root, "/etc/fstab", func(old []byte) ([]byte, bool, error) {
		edited, changed, err := fstab.SetRootSubvolume(old, subvolume)
		if err != nil && !errors.Is(err, fstab.ErrNoRoot) { // the fstab of a chroot has no root; its root is on the kernel command line
			return old, false, err
		}
		edited, moved, err := fstab.SetSubvolumes(edited, own)
		return edited, changed || moved, err
	})
	if err == nil {
		err = inroot.Edit(st.Path(at), "/etc/kernel/cmdline", func(old []byte) ([]byte, bool, error) {
			return fstab.SetRootflags(old, subvolume)
		})
	}
	if err != nil {
		return fmt.Errorf("cannot make the new boot environment bootable: %w", err)
	}
	return nil
}

// Identify reads the title and the kernels of the root file system at a directory.
func Identify(root string) (be.Identity, error) {
	title, err := pkgdb.Release(root)
	if err != nil {
		return be.Identity{}, err
	}
	id := be.Identity{Title: title}
	kernels, err := pkgdb.Kernels(root)
	if err != nil {
		return id, err
	}
	for _, k := range kernels {
		id.Kernels = append(id.Kernels, be.Kernel{Version: k.Version, Image: k.Image, Initrd: k.Initrd})
	}
	return id, nil
}
