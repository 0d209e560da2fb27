//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// mountAttributes are those of the detached mount. noatime prevents that a read changes
// the subvolume.
const mountAttributes = unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID |
	unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOATIME

// mountTopLevel mounts the top-level subvolume of the file system on device,
// in no mount namespace, and returns the mount's O_PATH descriptor.
func mountTopLevel(device string) (*os.File, error) {
	if _, err := os.Stat(device); err != nil {
		return nil, err
	}
	fd, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w: the kernel has no btrfs", store.ErrUnsupported)
	}
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	context := os.NewFile(uintptr(fd), "btrfs context")
	defer context.Close()

	for _, option := range [][2]string{{"source", device}, {"subvolid", "5"}} {
		if err := unix.FsconfigSetString(fd, option[0], option[1]); err != nil {
			return nil, contextError("fsconfig "+option[0], context, err)
		}
	}
	if err := unix.FsconfigCreate(fd); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTBLK) {
		return nil, fmt.Errorf("%w: %w", store.ErrUnsupported, contextError("fsconfig create", context, err))
	} else if err != nil {
		return nil, contextError("fsconfig create", context, err)
	}
	mount, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, mountAttributes)
	if err != nil {
		return nil, contextError("fsmount", context, err)
	}
	return os.NewFile(uintptr(mount), device), nil
}

// contextError adds the kernel's messages to err. They are in the log of a file system
// context, one for each read(2), with "e " before errors (fsopen(2)).
func contextError(call string, context *os.File, err error) error {
	err = os.NewSyscallError(call, err)
	buf := make([]byte, 4096)
	for {
		n, readErr := unix.Read(int(context.Fd()), buf)
		if readErr != nil || n <= 0 {
			return err
		}
		err = fmt.Errorf("%w (%s)", err, strings.TrimSpace(string(buf[:n])))
	}
}

// sourceOf returns the source device of an open directory's btrfs mount. It finds the
// mount by its number, not by a prefix of the path: neither a mount over another one
// nor a changing path can lead to the wrong one.
func sourceOf(dir *os.File) (string, error) {
	var stat unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stat)
	if err != nil {
		return "", os.NewSyscallError("statx", err)
	}
	if stat.Mask&unix.STATX_MNT_ID == 0 {
		return "", fmt.Errorf("%w: the kernel is older than 5.8 and does not report mount IDs", store.ErrUnsupported)
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return "", fmt.Errorf("cannot read the mount table: %w", err)
	}
	return sourceOfMount(mounts, stat.Mnt_id)
}

// sourceOfMount returns the source device of the mount with a number.
func sourceOfMount(mounts []*mountinfo.Info, id uint64) (string, error) {
	for _, mount := range mounts {
		if uint64(mount.ID) != id {
			continue
		}
		if mount.FSType != "btrfs" {
			return "", fmt.Errorf("%w: it is on %s", store.ErrUnsupported, mount.FSType)
		}
		return mount.Source, nil
	}
	// /proc/self/mountinfo lacks mounts outside of the process's root directory.
	return "", fmt.Errorf("%w: its mount is not in the mount table, as in a chroot whose root is not a mount point",
		store.ErrUnsupported)
}
