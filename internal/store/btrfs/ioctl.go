//go:build cgo

package btrfs

// The numbers of the ioctls differ between architectures, so they come from
// the kernel's own header.

// #include <linux/btrfs.h>
// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/hex"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// topLevelID is the id of the top-level subvolume.
const topLevelID = C.BTRFS_FS_TREE_OBJECTID

func ioctl(f *os.File, name string, request uintptr, args unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(args))
	if errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}

// subvolumeOf describes f's subvolume, without its Path.
func subvolumeOf(f *os.File) (store.Subvolume, error) {
	var args C.struct_btrfs_ioctl_get_subvol_info_args
	err := ioctl(f, "BTRFS_IOC_GET_SUBVOL_INFO", C.BTRFS_IOC_GET_SUBVOL_INFO, unsafe.Pointer(&args))
	if err != nil {
		return store.Subvolume{}, err
	}
	return store.Subvolume{
		ID:         uint64(args.treeid),
		UUID:       uuid(*(*[16]byte)(unsafe.Pointer(&args.uuid))),
		ParentUUID: uuid(*(*[16]byte)(unsafe.Pointer(&args.parent_uuid))),
		ReadOnly:   args.flags&C.BTRFS_ROOT_SUBVOL_RDONLY != 0,
		Created:    time.Unix(int64(args.otime.sec), int64(args.otime.nsec)),
		Generation: uint64(args.generation),
		OTransID:   uint64(args.otransid),
	}, nil
}

// uuid returns the text form of a UUID, and "" for the nil UUID.
func uuid(b [16]byte) string {
	if b == [16]byte{} {
		return ""
	}
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// setReadOnly sets or clears the read-only flag of the subvolume whose root
// directory f is.
func setReadOnly(f *os.File, readOnly bool) error {
	var flags C.__u64
	err := ioctl(f, "BTRFS_IOC_SUBVOL_GETFLAGS", C.BTRFS_IOC_SUBVOL_GETFLAGS, unsafe.Pointer(&flags))
	if err != nil {
		return err
	}
	if readOnly {
		flags |= C.BTRFS_SUBVOL_RDONLY
	} else {
		flags &^= C.BTRFS_SUBVOL_RDONLY
	}
	return ioctl(f, "BTRFS_IOC_SUBVOL_SETFLAGS", C.BTRFS_IOC_SUBVOL_SETFLAGS, unsafe.Pointer(&flags))
}

// destroy deletes subvolume name, which must contain no other, from directory dir.
func destroy(dir *os.File, name string) error {
	var args C.struct_btrfs_ioctl_vol_args
	dst := (*[C.BTRFS_PATH_NAME_MAX]byte)(unsafe.Pointer(&args.name))
	if len(name) > len(dst) {
		return unix.ENAMETOOLONG
	}
	copy(dst[:], name)
	return ioctl(dir, "BTRFS_IOC_SNAP_DESTROY", C.BTRFS_IOC_SNAP_DESTROY, unsafe.Pointer(&args))
}

// fileSystemID returns the UUID of an open file's file system.
func fileSystemID(f *os.File) ([16]byte, error) {
	var args C.struct_btrfs_ioctl_fs_info_args
	err := ioctl(f, "BTRFS_IOC_FS_INFO", C.BTRFS_IOC_FS_INFO, unsafe.Pointer(&args))
	return *(*[16]byte)(unsafe.Pointer(&args.fsid)), err
}

// geometryOf returns the parameters of an open file's file system.
func geometryOf(f *os.File) (geometry, error) {
	args := C.struct_btrfs_ioctl_fs_info_args{flags: C.BTRFS_FS_INFO_FLAG_CSUM_INFO}
	err := ioctl(f, "BTRFS_IOC_FS_INFO", C.BTRFS_IOC_FS_INFO, unsafe.Pointer(&args))
	g := geometry{node: uint64(args.nodesize), sector: uint64(args.sectorsize), checksum: uint64(args.csum_size)}
	if g.checksum == 0 {
		g.checksum = 4 // before Linux 5.9 only CRC-32C exists
	}
	return g, err
}

// extentTree is the id of the tree that describes all used space.
const extentTree = C.BTRFS_EXTENT_TREE_OBJECTID
