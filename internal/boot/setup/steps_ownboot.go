package setup

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

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/txn"
)

// ofBoot reports whether a file of a separate /boot belongs to the kernels, and not to
// GRUB or the file system.
func ofBoot(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return top != "grub" && top != "lost+found"
}

// bootArgs returns the arguments of all steps that move a separate /boot.
func bootArgs(m Layout) txn.Args {
	args := txn.Args{"source": m.Boot.device(), "type": m.Boot.Type, "subvolume": m.Subvolume}
	if m.ESP != nil && strings.HasPrefix(m.ESP.Dir, "/boot/") {
		args["esp"], args["esp-source"] = m.ESP.Dir, m.ESP.device()
	}
	return args
}

// copyBoot copies a separate /boot into the root's directory below it, and creates the
// necessary mount points.
func (i *Installer) copyBoot(_ context.Context, a txn.Args) error {
	to, done, err := i.in(a["subvolume"], "boot")
	if err != nil {
		return err
	}
	defer done()
	if err := copyTree(i.Host.path("boot"), to, ofBoot); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(to, "grub"), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// removeCopiedBoot makes a separate /boot the only one again. If the machine has run
// with the root's own meanwhile, kernels installed then exist only there, and grub.cfg
// may name only them.
func (i *Installer) removeCopiedBoot(ctx context.Context, a txn.Args) error {
	own, done, err := i.in(a["subvolume"], "boot")
	if err != nil {
		return err
	}
	defer done()
	entries, err := os.ReadDir(own)
	if err != nil || len(entries) == 0 {
		return err
	}
	err = i.withBoot(ctx, a, func(dir string) error { return copyNewer(own, dir) })
	if err == nil {
		err = i.switchBootBack(ctx, a)
	}
	if err != nil {
		return err
	}
	config, err := readIfAny(i.Host.path(grubConfig))
	if err != nil {
		return err
	}
	if !i.fits(config) {
		if err := i.plainConfig(ctx, nil); err != nil {
			return err
		}
	}
	return i.clearBelow(a["subvolume"])
}

// keepEntries ensures that the menu has entries without apt-be.cfg: update-grub may
// have run while the distribution's own scripts were switched off.
func (i *Installer) keepEntries(ctx context.Context) error {
	config, err := readIfAny(i.Host.path(grubConfig))
	if err != nil || len(kernelsOf(config)) > 0 {
		return err
	}
	return i.plainConfig(ctx, nil)
}

// kernelsOf returns the kernels that a menu names.
func kernelsOf(menu []byte) []string {
	var kernels []string
	for line := range bytes.Lines(menu) {
		if words := strings.Fields(string(line)); len(words) > 1 && words[0] == "linux" {
			kernels = append(kernels, strings.Trim(words[1], "'\""))
		}
	}
	return kernels
}

// fits reports whether a menu names exactly the kernels of a separate /boot.
func (i *Installer) fits(menu []byte) bool {
	kernels := kernelsOf(menu)
	if slices.ContainsFunc(kernels, func(file string) bool { return !isFile(i.Host.path("boot/" + file)) }) {
		return false
	}
	there, err := filepath.Glob(i.Host.path("boot/vmlinuz-*"))
	return err == nil && !slices.ContainsFunc(there, func(file string) bool {
		return !slices.Contains(kernels, "/"+filepath.Base(file))
	})
}

// copyNewer copies kernels that are new or were changed later in one directory than in
// another.
func copyNewer(from, to string) error {
	return copyTree(from, to, func(path string) bool {
		if !ofBoot(path) {
			return false
		}
		var here, there unix.Stat_t
		if unix.Lstat(filepath.Join(from, path), &here) != nil || here.Mode&unix.S_IFMT == unix.S_IFDIR {
			return true
		}
		err := unix.Lstat(filepath.Join(to, path), &there)
		// A copy has the size and time of its original, and dpkg sets the time of the
		// build. So the change time decides.
		same := here.Mode == there.Mode && here.Size == there.Size && here.Mtim == there.Mtim
		return err != nil || !same && here.Ctim.Nano() > there.Ctim.Nano()
	})
}

// clearBelow empties the root's own /boot if another file system covers it.
func (i *Installer) clearBelow(subvolume string) error {
	mounted, err := i.Host.mountAt("boot")
	if err != nil {
		return err
	}
	if mounted == nil {
		return errors.New("/boot is not mounted, so its files exist only there")
	}
	dir, done, err := i.in(subvolume, "boot")
	if err != nil {
		return err
	}
	defer done()
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

// switchBoot unmounts /boot, and mounts the directory grub of that file system at
// /boot/grub.
func (i *Installer) switchBoot(ctx context.Context, a txn.Args) error {
	return i.remount(ctx, a, "/boot", "/boot/grub", func() error {
		// Not by X-mount.subdir, as the next boot does: mount(8) of util-linux 2.38
		// mounts that in its own namespace, without an effect here if mounts are not
		// shared.
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

// remount moves a file system from one directory to another. Meanwhile the EFI system
// partition below /boot is unmounted.
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
	// The fstab does not have it.
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

// fillBoot copies the root's own /boot to the file system that was /boot.
func (i *Installer) fillBoot(ctx context.Context, a txn.Args) error {
	own, done, err := i.in(a["subvolume"], "boot")
	if err != nil {
		return err
	}
	defer done()
	return i.withBoot(ctx, a, func(dir string) error {
		if err := copyTree(own, dir, ofBoot); err != nil {
			return err
		}
		return grub.Settle(dir)
	})
}

// fillBootBack copies kernels that were installed since, with that file system at
// /boot, to the root's own.
func (i *Installer) fillBootBack(ctx context.Context, a txn.Args) error {
	own, done, err := i.in(a["subvolume"], "boot")
	if err != nil {
		return err
	}
	defer done()
	return i.withBoot(ctx, a, func(dir string) error { return copyNewer(dir, own) })
}

// leaveBoot ends the undo of an init --undo: when grub.cfg again has only apt-be's
// menu, it removes the kernels that fillBoot has copied.
func (i *Installer) leaveBoot(ctx context.Context, a txn.Args) error {
	if err := i.makeConfig(ctx, nil); err != nil {
		return err
	}
	return i.clearBoot(ctx, a)
}

// clearBoot removes from the file system that was /boot the files that the root's own
// /boot has.
func (i *Installer) clearBoot(ctx context.Context, a txn.Args) error {
	own, done, err := i.in(a["subvolume"], "boot")
	if err != nil {
		return err
	}
	defer done()
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

// withBoot mounts the whole file system that was /boot during use.
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
