package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Flags of chattr(1) (linux/fs.h).
const (
	nocow     = 0x800000         // FS_NOCOW_FL: written in place
	immutable = 0x10             // FS_IMMUTABLE_FL
	locked    = immutable | 0x20 // and FS_APPEND_FL
	squeezed  = 0x4 | 0x400      // FS_COMPR_FL and FS_NOCOMP_FL
)

// carried are the flags to copy, which users can set: A, C, D, S, a, c, d and i, and m,
// which excludes c.
const carried = nocow | locked | squeezed | 0x80 | 0x10000 | 0x8 | 0x40

// reopen opens the file or directory of an O_PATH descriptor.
func reopen(fd int) (int, error) {
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// hasNone reports whether an ioctl's error means that the file system has no flags.
func hasNone(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

// flagsOf returns the flags in carried of the file or directory of an O_PATH
// descriptor.
func flagsOf(fd int) (uint32, error) {
	readable, err := reopen(fd)
	if err != nil {
		return 0, os.NewSyscallError("open", err)
	}
	defer unix.Close(readable)
	flags, err := unix.IoctlGetInt(readable, unix.FS_IOC_GETFLAGS)
	if hasNone(err) {
		return 0, nil
	}
	return uint32(flags) & carried, os.NewSyscallError("ioctl", err)
}

// unlockFor clears the flags that prevent changes of a file or directory.
func unlockFor(fd int) {
	readable, err := reopen(fd)
	if err != nil {
		return
	}
	defer unix.Close(readable)
	if flags, err := unix.IoctlGetInt(readable, unix.FS_IOC_GETFLAGS); err == nil && flags&locked != 0 {
		_ = unix.IoctlSetPointerInt(readable, unix.FS_IOC_SETFLAGS, flags&^locked)
	}
}

// setFlags sets the wanted flags of a file or directory, except those that prevent
// changes, which Lock sets.
func setFlags(fd int, wanted uint32) error {
	readable, err := reopen(fd)
	if err != nil {
		return err
	}
	defer unix.Close(readable)
	flags, err := unix.IoctlGetInt(readable, unix.FS_IOC_GETFLAGS)
	if hasNone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted &= carried &^ locked
	if uint32(flags)&carried == wanted {
		return nil
	}
	set := func(wanted uint32) error {
		return unix.IoctlSetPointerInt(readable, unix.FS_IOC_SETFLAGS, flags&^carried|int(wanted))
	}
	err = set(wanted)
	if errors.Is(err, unix.EINVAL) { // files with NOCOW cannot be compressed
		err = set(wanted &^ squeezed)
	}
	return err
}

// keepLocked records the flags that Lock sets for a path.
func (c *Changer) keepLocked(name string, a merge.Attributes) {
	if flags := a.Flags & locked; flags != 0 {
		c.locked.Store(name, int(flags))
	} else {
		c.locked.Delete(name)
	}
}

// Lock sets the flags that prevent changes (chattr(1)'s i and a) on the carried files
// that have them, and on the directories that had them. It must be the last operation,
// because such a file cannot be renamed.
func (c *Changer) Lock() error {
	var failed error
	c.locked.Range(func(name, flags any) bool {
		failed = c.lock(name.(string), flags.(int))
		return failed == nil
	})
	return failed
}

func (c *Changer) lock(name string, flags int) error {
	f, err := c.To.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	own, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, own|flags)
	}
	if err != nil {
		return &fs.PathError{Op: "chattr", Path: f.Name(), Err: err}
	}
	return nil
}

// unlock clears the flags that prevent replacing a file or directory (chattr(1)'s i and
// a). Other types have no such flags, and opening a device may have effects.
func unlock(dir *os.File, name string) {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if kind := st.Mode & unix.S_IFMT; err != nil || kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unlockFor(fd)
}

// opened records the time and the flags of a directory of To before something in it
// changes. Finish restores both.
func (c *Changer) opened(name string, dir *os.File) {
	name = path.Clean(name)
	if _, known := c.times.Load(name); known {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return
	}
	if c.To.flags {
		// Before another goroutine can take it for one that was recorded.
		if flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&locked != 0 {
			c.locked.LoadOrStore(name, flags&locked)
			_ = unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, flags&^locked)
		}
	}
	c.times.LoadOrStore(name, st.Mtim)
}

// SetTime records a modification time that Finish sets.
func (c *Changer) SetTime(name string, modified int64) {
	c.times.Store(path.Clean(name), unix.NsecToTimespec(modified))
}

// Finish restores the times of the changed directories, sets the times of SetTime, and
// calls Lock.
func (c *Changer) Finish() error {
	if err := c.forgetLinks(); err != nil {
		return err
	}
	var failed error
	c.times.Range(func(name, modified any) bool {
		failed = c.setTime(name.(string), modified.(unix.Timespec))
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return c.Lock()
}

func (c *Changer) setTime(name string, modified unix.Timespec) error {
	fd, err := c.To.descriptor(name, unix.O_PATH)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	err = unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.EPERM) && c.To.flags {
		var st unix.Stat_t
		kind := uint32(0)
		if unix.Fstat(fd, &st) == nil {
			kind = st.Mode & unix.S_IFMT
		}
		if kind == unix.S_IFREG || kind == unix.S_IFDIR {
			flags, _ := flagsOf(fd)
			c.locked.LoadOrStore(name, int(flags&locked))
			unlockFor(fd)
			err = unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
		}
	}
	if err != nil {
		return &fs.PathError{Op: "utimensat", Path: path.Join(c.To.dir.Name(), name), Err: err}
	}
	return nil
}
