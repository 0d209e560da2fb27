package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/txn"
)

// ofBoot says whether a file of a /boot of its own belongs to the kernels, and
// not to GRUB or to the file system.
func ofBoot(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return top != "grub" && top != "lost+found"
}

// copyBoot copies a /boot of its own into the directory of the root below it,
// and makes the mount points that it needs.
func (i *Installer) copyBoot(_ context.Context, a txn.Args) error {
	to := i.path(a["subvolume"] + "/boot")
	if err := copyTree(i.Host.path("boot"), to, ofBoot); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(to, "grub"), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (i *Installer) removeCopiedBoot(_ context.Context, a txn.Args) error {
	return i.clearBelow(a["subvolume"])
}

// clearBelow empties the root's own /boot if another file system covers it.
func (i *Installer) clearBelow(subvolume string) error {
	mounted, err := i.Host.mountAt("boot")
	if err != nil {
		return err
	}
	if mounted == nil {
		return errors.New("/boot is not mounted: what is there is all there is")
	}
	dir := i.path(subvolume + "/boot")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("cannot empty the root's own /boot: %w", err)
		}
	}
	return nil
}

// switchBoot unmounts /boot, and mounts the directory grub of that file system
// at /boot/grub.
func (i *Installer) switchBoot(ctx context.Context, a txn.Args) error {
	return i.remount(ctx, a, "/boot", "/boot/grub", func() error {
		// Not by X-mount.subdir, as at the next boot: mount(8) of util-linux
		// 2.38 does that in a name space of its own, and it gets nowhere
		// where mounts are not shared.
		return i.withBoot(ctx, a, func(dir string) error {
			_, err := i.Host.Run(ctx, "mount", "--bind", filepath.Join(dir, "grub"), i.Host.path("boot/grub"))
			return err
		})
	})
}

func (i *Installer) switchBootBack(ctx context.Context, a txn.Args) error {
	return i.remount(ctx, a, "/boot/grub", "/boot", func() error {
		_, err := i.Host.Run(ctx, "mount", "-t", a["type"], a["source"], i.Host.path("boot"))
		return err
	})
}

// remount moves a file system from one directory to another, with the EFI
// system partition below /boot out of the way meanwhile.
func (i *Installer) remount(ctx context.Context, a txn.Args, from, to string, mount func() error) error {
	there, err := i.Host.mountAt(from)
	if err != nil {
		return err
	}
	if there != nil {
		if a["esp"] != "" {
			if err := i.unmountIf(a["esp"]); err != nil {
				return err
			}
		}
		if err := i.unmountIf(from); err != nil {
			return errors.Join(err, i.mountESP(ctx, a))
		}
	}
	here, err := i.Host.mountAt(to)
	if err == nil && here == nil {
		err = mount()
	}
	if err != nil {
		return err
	}
	return i.mountESP(ctx, a)
}

func (i *Installer) mountESP(ctx context.Context, a txn.Args) error {
	if a["esp"] == "" {
		return nil
	}
	mounted, err := i.Host.mountAt(a["esp"])
	if err != nil || mounted != nil {
		return err
	}
	if _, err := i.Host.Run(ctx, "mount", a["esp"]); err == nil {
		return nil
	}
	// It is not in the fstab.
	_, err = i.Host.Run(ctx, "mount", "-t", "vfat", "-o", "umask=0077", a["esp-source"], a["esp"])
	return err
}

func (i *Installer) unmountIf(dir string) error {
	mounted, err := i.Host.mountAt(dir)
	if err != nil || mounted == nil {
		return err
	}
	if err := i.Host.Unmount(i.Host.path(dir)); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
	return nil
}

// clearBoot removes the files in the file system that was /boot which are in
// the root's own.
func (i *Installer) clearBoot(ctx context.Context, a txn.Args) error {
	own := i.path(a["subvolume"] + "/boot")
	return i.withBoot(ctx, a, func(dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		var files []string
		for _, entry := range entries {
			there, err := entry.Info()
			if err != nil {
				return err
			}
			here, err := os.Lstat(filepath.Join(own, entry.Name()))
			if err == nil && !entry.IsDir() && here.Mode().Type() == there.Mode().Type() && here.Size() == there.Size() {
				files = append(files, filepath.Join(dir, entry.Name()))
			}
		}
		return removeAll(files...)
	})
}

// fillBoot copies the root's own /boot into the file system that was /boot.
func (i *Installer) fillBoot(ctx context.Context, a txn.Args) error {
	return i.withBoot(ctx, a, func(dir string) error {
		return copyTree(i.path(a["subvolume"]+"/boot"), dir, ofBoot)
	})
}

// withBoot mounts the whole of the file system that was /boot for a while.
func (i *Installer) withBoot(ctx context.Context, a txn.Args, use func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "apt-be-boot-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if _, err := i.Host.Run(ctx, "mount", "-t", a["type"], a["source"], dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Host.Unmount(dir)) }()
	return use(dir)
}
