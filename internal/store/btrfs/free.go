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
		// Unlike syncfs(2) it wakes who takes deleted subvolumes apart, and it
		// has what was freed by then count.
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

// Free tells of the room in the btrfs file system that holds a directory. It
// needs neither the top level nor privileges: a sandbox has them not.
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

// readFree adds up what each kind of space has left. What is not given to any
// is what remains of the disks; since the kernel knows better than that how
// many copies find different disks, no more of it counts than statfs(2) has.
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
			reserve = left // it is a part of the metadata's, which the kernel keeps for itself
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

// spaceInfo is BTRFS_IOC_SPACE_INFO: the kinds of space, and how much of each
// is set aside and used.
func spaceInfo(f *os.File) ([]C.struct_btrfs_ioctl_space_info, error) {
	// There are four kinds, and more while a balance converts some: twelve
	// are what different profiles can be at a time.
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
