package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tests make and delete subvolumes by system calls, so that they do not depend
// on the code under test. The numbers are from linux/btrfs.h.
const (
	iocSnapDestroy    = 0x5000940f // BTRFS_IOC_SNAP_DESTROY
	iocSnapCreateV2   = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2
	iocSubvolCreateV2 = 0x50009418 // BTRFS_IOC_SUBVOL_CREATE_V2
	iocSubvolSetFlags = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS
	rootInode         = 256        // BTRFS_FIRST_FREE_OBJECTID: the inode of each subvolume's root
)

// volArgs is struct btrfs_ioctl_vol_args.
type volArgs struct {
	fd   int64
	name [4088]byte
}

// volArgsV2 is struct btrfs_ioctl_vol_args_v2.
type volArgsV2 struct {
	fd      int64
	transid uint64
	flags   uint64
	unused  [4]uint64
	name    [4040]byte
}

func ioctl(file *os.File, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

func createSubvolume(path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot create subvolume: %w", err)
	}
	defer parent.Close()
	var args volArgsV2
	copy(args.name[:], filepath.Base(path))
	if err := ioctl(parent, iocSubvolCreateV2, unsafe.Pointer(&args)); err != nil {
		return fmt.Errorf("cannot create subvolume %s: %w", filepath.Base(path), err)
	}
	return nil
}

// snapshot makes dst a writable snapshot of src; dst must be free.
func snapshot(src, dst string) error {
	source, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("cannot snapshot: %w", err)
	}
	defer source.Close()
	parent, err := os.Open(filepath.Dir(dst))
	if err != nil {
		return fmt.Errorf("cannot snapshot: %w", err)
	}
	defer parent.Close()
	args := volArgsV2{fd: int64(source.Fd())}
	copy(args.name[:], filepath.Base(dst))
	if err := ioctl(parent, iocSnapCreateV2, unsafe.Pointer(&args)); err != nil {
		return fmt.Errorf("cannot snapshot %s to %s: %w", filepath.Base(src), filepath.Base(dst), err)
	}
	return nil
}

// deleteSubvolume deletes a subvolume and, before it, those nested in it.
func deleteSubvolume(path string) error {
	err := destroy(path)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	nested, walkErr := subvolumes(path)
	if walkErr != nil {
		return walkErr
	}
	// The kernel deletes nothing from a read-only subvolume.
	for _, holder := range append([]string{"."}, nested...) {
		if err := makeWritable(filepath.Join(path, holder)); err != nil {
			return err
		}
	}
	for i := len(nested) - 1; i >= 0; i-- {
		if err := destroy(filepath.Join(path, nested[i])); err != nil {
			return err
		}
	}
	return destroy(path)
}

func makeWritable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags uint64
	if err := ioctl(f, iocSubvolSetFlags, unsafe.Pointer(&flags)); err != nil {
		return fmt.Errorf("cannot make subvolume %s writable: %w", filepath.Base(path), err)
	}
	return nil
}

func destroy(path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot delete subvolume: %w", err)
	}
	defer parent.Close()
	var args volArgs
	copy(args.name[:], filepath.Base(path))
	if err := ioctl(parent, iocSnapDestroy, unsafe.Pointer(&args)); err != nil {
		return fmt.Errorf("cannot delete subvolume %s: %w", filepath.Base(path), err)
	}
	return nil
}

// subvolumes lists those at any depth below dir, relative to it, outer ones
// first.
func subvolumes(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || path == dir {
			return err
		}
		if is, err := isSubvolume(path); err != nil || !is {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found = append(found, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list subvolumes: %w", err)
	}
	return found, nil
}

func isSubvolume(path string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	return info.IsDir() && info.Sys().(*syscall.Stat_t).Ino == rootInode, nil
}
