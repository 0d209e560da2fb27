package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// RemoveAll is os.RemoveAll that also removes immutable and append-only files
// (chattr(1)), which scripts may have made.
func RemoveAll(path string) error {
	shallow(path)
	err := os.RemoveAll(path)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	unlockTree(unix.AT_FDCWD, path)
	return os.RemoveAll(path)
}

// unlockTree calls Unlock for all files below a directory, with paths of any length.
func unlockTree(at int, name string) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	unlock(fd)
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return
	}
	for _, entry := range entries {
		switch {
		case entry.IsDir():
			unlockTree(fd, entry.Name())
		case entry.Type().IsRegular():
			unlockAt(fd, entry.Name())
		}
	}
}

// locking is FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h.
const locking = 0x10 | 0x20

// Unlock removes the attributes i and a (chattr(1)) from a file or directory. Some
// machines have immutable mount points.
func Unlock(name string) { unlockAt(unix.AT_FDCWD, name) }

func unlockAt(at int, name string) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unlock(fd)
}

func unlock(fd int) {
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&locking != 0 {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^locking))
	}
}
