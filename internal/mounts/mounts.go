// Package mounts mounts boot environments for people, and finds their mounts.
package mounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Of returns the mount points, in this process's mount namespace, of the subvolume at a
// path from the top level of the file system on device.
func Of(device, subvolume string) ([]string, error) {
	found, err := mountinfo.GetMounts(only(device, subvolume))
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	dirs := make([]string, len(found))
	for i, m := range found {
		dirs[i] = m.Mountpoint
	}
	return dirs, nil
}

// only keeps the mounts of a subvolume and of its directories.
func only(device, subvolume string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) {
		inside := m.Root == "/"+subvolume || strings.HasPrefix(m.Root, "/"+subvolume+"/")
		return m.FSType != "btrfs" || m.Source != device || !inside, false
	}
}

// Points returns the mounts of this process's mount namespace by mount point: for btrfs
// the path from the top level, otherwise "".
func Points() (map[string]string, error) {
	found, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	points := map[string]string{}
	for _, m := range found { // the last mount at a place hides the others
		points[m.Mountpoint] = ""
		if m.FSType == "btrfs" {
			points[m.Mountpoint] = strings.TrimPrefix(m.Root, "/")
		}
	}
	return points, nil
}

// MountBy mounts a file system by mount(8), with options as in fstab(5).
func MountBy(device, kind, options, dir string) error {
	out, err := exec.Command("mount", "-t", kind, "-o", options, device, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w: %s", device, dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Mount mounts a subvolume at dir for people to look into. setuid programs have no
// effect there, because they may have known vulnerabilities or come from a hostile
// script, and device nodes cannot be opened. Each mount is read-only or writable by
// itself: since Linux 3.17 btrfs supports both at the same time.
func Mount(device, subvolume, dir string, readOnly bool) error {
	flags := uintptr(unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(device, dir, "btrfs", flags, "subvol=/"+subvolume); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", subvolume, dir, err)
	}
	return nil
}

// MakePrivate creates a directory that only root can enter, or restricts an existing
// one. Only root can write to the directories above it.
func MakePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	return errors.Join(f.Chown(0, 0), f.Chmod(0o700))
}

// Unmount unmounts the mount at dir.
func Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
	return nil
}
