package machine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mountTop makes a detached mount of the top-level subvolume of a btrfs device. No
// other process sees the mount, and closing the returned file unmounts it. Reading
// through it changes no access time (MOUNT_ATTR_NOATIME).
func mountTop(device string) (*os.File, error) {
	fs, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{{"source", device}, {"subvolid", "5"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return nil, fmt.Errorf("cannot mount %s with %s=%s: %w", device, option[0], option[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	top, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	return os.NewFile(uintptr(top), device), nil
}
