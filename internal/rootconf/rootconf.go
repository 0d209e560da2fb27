// Package rootconf reads and changes the description that a root file system contains of
// itself: the subvolume that its fstab and kernel command line name as the root, its
// title, and its kernels.
package rootconf

import (
	"cmp"
	"errors"
	"fmt"
	"path"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/store"
)

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
