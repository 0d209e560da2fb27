package preload_test

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fiemap and fiemapExtent are struct fiemap and struct fiemap_extent of
// <linux/fiemap.h>.
type (
	fiemapExtent struct {
		logical, physical, length uint64
		reserved64                [2]uint64
		flags                     uint32
		reserved                  [3]uint32
	}
	fiemap struct {
		start, length                  uint64
		flags, mapped, count, reserved uint32
		extents                        [500]fiemapExtent
	}
)

const (
	fiemapIoctl = 0xc020660b // FS_IOC_FIEMAP
	fiemapSync  = 1          // FIEMAP_FLAG_SYNC

	extentInline = 0x200 // FIEMAP_EXTENT_DATA_INLINE: it has no place of its own
)

// blocks returns the locations, on the device, of the 4 KiB blocks of a file, by their
// number in the file.
func blocks(t *testing.T, name string) map[uint64]uint64 {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	request := &fiemap{length: ^uint64(0), flags: fiemapSync}
	request.count = uint32(len(request.extents))
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), fiemapIoctl, uintptr(unsafe.Pointer(request))); errno != 0 {
		t.Fatalf("cannot find the extents of %s: %v", name, errno)
	}
	if request.mapped == request.count {
		t.Fatalf("%s has more extents than this test looks at", name)
	}
	found := map[uint64]uint64{}
	for _, e := range request.extents[:request.mapped] {
		if e.flags&extentInline != 0 {
			continue
		}
		for offset := uint64(0); offset < e.length; offset += 4096 {
			found[(e.logical+offset)/4096] = e.physical + offset
		}
	}
	return found
}

// shared counts the blocks at the same offset that two files share.
func shared(t *testing.T, a, b string) int {
	t.Helper()
	count, of := 0, blocks(t, b)
	for number, where := range blocks(t, a) {
		if there, ok := of[number]; ok && there == where {
			count++
		}
	}
	return count
}
