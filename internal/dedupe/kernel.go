package dedupe

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the interface of the kernel for open files.
type kernel interface {
	// dedupe shares length bytes at offset of dst with those of src, if they are equal.
	// It returns the number of shared bytes, or errDiffers.
	dedupe(src, dst int, offset, length int64) (int64, error)
	// readAhead starts to read a range of a file. dedupe itself reads page by page and
	// waits for each.
	readAhead(fd int, offset, length int64)
	// extents returns the locations of a file's data.
	extents(fd int) ([]extent, error)
	// noCOW reports whether a file has the attribute NOCOW.
	noCOW(fd int) (bool, error)
}

// errDiffers reports that two ranges are not equal.
var errDiffers = errors.New("the contents differ")

// extent is a piece of a file (struct fiemap_extent of linux/fiemap.h).
type extent struct {
	logical, physical, length uint64 // in bytes; physical is an address in the file system
	flags                     uint32
}

// Flags of extents, and limits, from linux/fiemap.h.
const (
	extentLast    = 0x1
	extentEncoded = 0x8 // on btrfs: compressed
	extentInline  = 0x200
	extentShared  = 0x2000 // shared with another file or snapshot

	fiemapSync    = 0x1                // write dirty data first
	fiemapIoctl   = 0xc020660b         // FS_IOC_FIEMAP, the same on all architectures
	fiemapExtents = 64                 // the number of extents per call
	wholeFile     = uint64(1)<<63 - 1  // fiemap's length, for the whole file
	noCOWFlag     = uint32(0x00800000) // FS_NOCOW_FL of linux/fs.h
)

// fiemap is struct fiemap with space for extents.
type fiemap struct {
	start, length                     uint64
	flags, mapped, capacity, reserved uint32
	extents                           [fiemapExtents]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// linux is the real kernel.
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
	// An error only means that the data is read later.
	_ = unix.Fadvise(fd, offset, length, unix.FADV_WILLNEED)
}

func (linux) extents(fd int) ([]extent, error) {
	var all []extent
	args := fiemap{}
	for {
		args.length, args.flags, args.capacity, args.mapped = wholeFile-args.start, fiemapSync, fiemapExtents, 0
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
