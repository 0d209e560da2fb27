//go:build cgo

package btrfs

// #include <linux/fs.h>
import "C"

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Attributes of files that prevent changes of the file or directory (ioctl_iflags(2)).
// A snapshot copies them, and any script may set them.
const locking = C.FS_IMMUTABLE_FL | C.FS_APPEND_FL

// inherited are attributes that new files inherit from their directory, and that a swap
// file needs or must not have.
const inherited = C.FS_NOCOW_FL | C.FS_COMPR_FL | C.FS_NOCOMP_FL

func fileFlags(f *os.File) (int, error) {
	flags, err := unix.IoctlGetUint32(int(f.Fd()), C.FS_IOC_GETFLAGS)
	return int(flags), os.NewSyscallError("FS_IOC_GETFLAGS", err)
}

func setFileFlags(f *os.File, flags int) error {
	return os.NewSyscallError("FS_IOC_SETFLAGS", unix.IoctlSetPointerInt(int(f.Fd()), C.FS_IOC_SETFLAGS, flags))
}

// unlock removes from an open directory the attributes that prevent renames and
// deletions of it and its entries. lock restores them.
func unlock(dir *os.File) (lock func() error, err error) {
	flags, err := fileFlags(dir)
	if err != nil || flags&locking == 0 {
		return func() error { return nil }, err
	}
	return func() error { return setFileFlags(dir, flags) }, setFileFlags(dir, flags&^locking)
}

// unlock does the same for the root directory of the subvolume at the place, which may
// be read-only.
func (at *place) unlock() (lock func() error, err error) {
	nothing := func() error { return nil }
	f, err := at.open()
	if err != nil {
		return nothing, err
	}
	flags, err := fileFlags(f)
	if err != nil || flags&locking == 0 {
		return nothing, errors.Join(err, f.Close())
	}
	info, err := subvolumeOf(f)
	if err == nil && info.ReadOnly {
		err = setReadOnly(f, false)
	}
	if err == nil {
		err = setFileFlags(f, flags&^locking)
	}
	if err != nil {
		return nothing, errors.Join(sentinel(err), f.Close())
	}
	return func() error {
		err := setFileFlags(f, flags)
		if err == nil && info.ReadOnly {
			err = setReadOnly(f, true)
		}
		return errors.Join(err, f.Close())
	}, nil
}

// unlockForGood is unlock before a deletion.
func (at *place) unlockForGood() error {
	f, err := at.open()
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := fileFlags(f)
	if err != nil || flags&locking == 0 {
		return err
	}
	info, err := subvolumeOf(f)
	if err == nil && info.ReadOnly {
		err = setReadOnly(f, false)
	}
	if err == nil {
		err = setFileFlags(f, flags&^locking)
	}
	return sentinel(err)
}

// unlocked calls do while the subvolumes at some places can be moved.
func unlocked(do func() error, places ...*place) error {
	var locks []func() error
	var errs []error
	for _, at := range places {
		lock, err := at.unlock()
		locks, errs = append(locks, lock), append(errs, err)
	}
	if err := errors.Join(errs...); err == nil {
		errs = append(errs, do())
	}
	for _, lock := range locks {
		errs = append(errs, lock())
	}
	return errors.Join(errs...)
}
