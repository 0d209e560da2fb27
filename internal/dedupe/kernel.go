package dedupe

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is what is asked of the kernel about open files.
type kernel interface {
	// dedupe shares length bytes at offset of dst with those of src, if they
	// are equal, and returns how many it did: errDiffers if they are not.
	dedupe(src, dst int, offset, length int64) (int64, error)
	// readAhead has the kernel begin to read a range of a file. dedupe itself
	// reads one page after the other, and waits for each.
	readAhead(fd int, offset, length int64)
	// extents describes where a file is stored.
	extents(fd int) ([]extent, error)
	// noCOW says whether a file is written in place.
	noCOW(fd int) (bool, error)
}

// errDiffers says that two ranges are not equal.
var errDiffers = errors.New("the contents differ")

// extent is a piece of a file (struct fiemap_extent of linux/fiemap.h).
type extent struct {
	logical, physical, length uint64 // in bytes; physical is an address of the file system
	flags                     uint32
}

// Flags of extents, and limits, from linux/fiemap.h.
const (
	extentLast    = 0x1
	extentEncoded = 0x8 // compressed, where the file system is btrfs
	extentInline  = 0x200
	extentShared  = 0x2000 // by any other file or snapshot

	fiemapSync    = 0x1                // write what is dirty before
	fiemapIoctl   = 0xc020660b         // FS_IOC_FIEMAP, the same on all architectures
	fiemapExtents = 64                 // asked for in one call
	wholeFile     = uint64(1)<<63 - 1  // fiemap's length is of the file
	noCOWFlag     = uint32(0x00800000) // FS_NOCOW_FL of linux/fs.h
)

// fiemap is struct fiemap, with room for extents.
type fiemap struct {
	start, length                 uint64
	flags, mapped, room, reserved uint32
	extents                       [fiemapExtents]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// linux is the kernel itself.
type linux struct{}

func (linux) dedupe(src, dst int, offset, length int64) (int64, error) {
	args := unix.FileDedupeRange{
		Src_offset: uint64(offset),
		Src_length: uint64(length),
		Info:       []unix.FileDedupeRangeInfo{{Dest_fd: int64(dst), Dest_offset: uint64(offset)}},
	}
	for {
		err := unix.IoctlFileDedupeRange(src, &args)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		break
	}
	switch status := args.Info[0].Status; {
	case status == unix.FILE_DEDUPE_RANGE_DIFFERS:
		return 0, errDiffers
	case status < 0:
		return 0, unix.Errno(-status)
	}
	return int64(args.Info[0].Bytes_deduped), nil
}

func (linux) readAhead(fd int, offset, length int64) {
	// What it does not read ahead is read later.
	_ = unix.Fadvise(fd, offset, length, unix.FADV_WILLNEED)
}

func (linux) extents(fd int) ([]extent, error) {
	var all []extent
	args := fiemap{}
	for {
		args.length, args.flags, args.room, args.mapped = wholeFile-args.start, fiemapSync, fiemapExtents, 0
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fiemapIoctl, uintptr(unsafe.Pointer(&args)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, errno
		}
		for _, e := range args.extents[:args.mapped] {
			all = append(all, extent{e.logical, e.physical, e.length, e.flags})
		}
		if args.mapped < fiemapExtents || all[len(all)-1].flags&extentLast != 0 {
			return all, nil
		}
		last := all[len(all)-1]
		args.start = last.logical + last.length
	}
}

func (linux) noCOW(fd int) (bool, error) {
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	return flags&noCOWFlag != 0, err
}
