// Package mounts mounts boot environments for people to look into, and finds
// where they are mounted.
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

// Of returns the directories at which the subvolume at a path from the top
// level of the file system on device is mounted, in this process's name space.
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

// only passes the mounts of a subvolume, and of directories in it.
func only(device, subvolume string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) {
		inside := m.Root == "/"+subvolume || strings.HasPrefix(m.Root, "/"+subvolume+"/")
		return m.FSType != "btrfs" || m.Source != device || !inside, false
	}
}

// Points returns what is mounted at each mount point of this process's name
// space: of a btrfs its path from the top level, and "" of all else.
func Points() (map[string]string, error) {
	found, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	points := map[string]string{}
	for _, m := range found { // the last one at a place hides the others
		points[m.Mountpoint] = ""
		if m.FSType == "btrfs" {
			points[m.Mountpoint] = strings.TrimPrefix(m.Root, "/")
		}
	}
	return points, nil
}

// MountBy mounts a file system by mount(8), with options as in an fstab.
func MountBy(device, kind, options, dir string) error {
	out, err := exec.Command("mount", "-t", kind, "-o", options, device, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w: %s", device, dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Mount mounts a subvolume at dir, to be looked into: its setuid programs give
// nobody anything, since their faults may be known by now, or somebody's script may
// have made them, and its device nodes lead nowhere. Each mount of a file system is
// read-only or not by itself: btrfs takes both beside each other since Linux 3.17.
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

// MakePrivate makes a directory into which only root can walk, or makes one that is
// there such a directory. Nothing but root has a hand in what is above it.
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

// Unmount unmounts what is mounted at dir.
func Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
	return nil
}
