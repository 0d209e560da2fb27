package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RemoveAll is os.RemoveAll, also of files and directories that are immutable or
// append-only (chattr(1)), as scripts make them: what is garbage must not stay.
func RemoveAll(path string) error {
	shallow(path)
	err := os.RemoveAll(path)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	_ = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.IsDir() || entry.Type().IsRegular()) {
			Unlock(name)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// locking is FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h.
const locking = 0x10 | 0x20

// Unlock takes the attributes i and a (chattr(1)) from a file or a directory, where it
// has them: the mount points of some machines are immutable.
func Unlock(name string) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&locking != 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^locking))
	}
}
