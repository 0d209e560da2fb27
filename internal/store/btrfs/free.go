//go:build cgo

package btrfs

// #include <linux/btrfs.h>
// #include <linux/btrfs_tree.h>
import "C"

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Free implements store.Store.
func (s *Store) Free() (store.Free, error) { return freeOf(s.top) }

// WaitForDeletions implements store.Store.
func (s *Store) WaitForDeletions(ctx context.Context) error {
	const pause = 100 * time.Millisecond
	for gone := false; ; {
		// Unlike syncfs(2), it wakes the kernel's cleaner of deleted subvolumes, and
		// includes the space that is already freed.
		if err := ioctl(s.top, "BTRFS_IOC_SYNC", C.BTRFS_IOC_SYNC, nil); err != nil {
			return fmt.Errorf("cannot wait for the space of deleted subvolumes: %w", err)
		}
		if gone {
			return nil
		}
		found, err := roots(s.top)
		if err != nil {
			return fmt.Errorf("cannot determine which subvolumes are being deleted: %w", err)
		}
		if gone = !slices.ContainsFunc(found, func(r root) bool { return r.deleted }); gone {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for the space of deleted subvolumes: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Free returns the free space of a directory's btrfs. It needs neither the top level
// nor privileges, which a sandbox lacks.
func Free(dir string) (store.Free, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return store.Free{}, fmt.Errorf("cannot determine the free space: %w", err)
	}
	defer f.Close()
	return freeOf(f)
}

func freeOf(f *os.File) (store.Free, error) {
	free, err := readFree(f)
	if err != nil {
		return store.Free{}, fmt.Errorf("cannot determine the free space: %w", err)
	}
	return free, nil
}

// readFree adds the free space of each kind. Unallocated space on the disks also
// counts, but only up to the value of statfs(2), because the kernel knows better how
// many copies find different disks.
func readFree(f *os.File) (store.Free, error) {
	free := store.Free{DataCopies: 1, MetadataCopies: 1}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		return free, os.NewSyscallError("fstatfs", err)
	}
	spaces, err := spaceInfo(f)
	if err != nil {
		return free, err
	}
	var taken float64
	var reserve, mixed uint64
	for _, space := range spaces {
		left, kind := uint64(space.total_bytes-space.used_bytes), uint64(space.flags)
		copies := copiesOf(kind, 0)
		switch {
		case kind&C.BTRFS_SPACE_INFO_GLOBAL_RSV != 0:
			reserve = left // it is a part of the metadata that the kernel keeps for itself
			continue
		case kind&C.BTRFS_BLOCK_GROUP_DATA != 0 && kind&C.BTRFS_BLOCK_GROUP_METADATA != 0:
			mixed += left
			free.DataCopies, free.MetadataCopies = copies, copies
		case kind&C.BTRFS_BLOCK_GROUP_DATA != 0:
			free.Data += left
			free.DataCopies = max(free.DataCopies, copies)
		case kind&C.BTRFS_BLOCK_GROUP_METADATA != 0:
			free.Metadata += left
			free.MetadataCopies = max(free.MetadataCopies, copies)
		}
		taken += float64(space.total_bytes) * copies
	}
	if mixed == 0 {
		free.Metadata -= min(free.Metadata, reserve)
	}
	block := uint64(stat.Bsize)
	unallocated := max(0, float64(stat.Blocks*block)*free.DataCopies-taken)
	known := float64(stat.Bavail*block-min(stat.Bavail*block, free.Data)) * free.DataCopies
	free.Spare = uint64(min(unallocated+float64(mixed)*free.DataCopies, known))
	return free, nil
}

// spaceInfo calls BTRFS_IOC_SPACE_INFO: the kinds of space, with the allocated and used
// bytes of each.
func spaceInfo(f *os.File) ([]C.struct_btrfs_ioctl_space_info, error) {
	// There are four kinds, and up to twelve during a balance that converts profiles.
	const most = 32
	var args struct {
		head   C.struct_btrfs_ioctl_space_args
		spaces [most]C.struct_btrfs_ioctl_space_info
	}
	args.head.space_slots = most
	if err := ioctl(f, "BTRFS_IOC_SPACE_INFO", C.BTRFS_IOC_SPACE_INFO, unsafe.Pointer(&args)); err != nil {
		return nil, err
	}
	return args.spaces[:min(most, args.head.total_spaces)], nil
}
