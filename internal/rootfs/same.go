package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Sizes of files from which on Same compares locations on the disk first, and from
// which on it compares only these. Smaller files are inline in the metadata (btrfs(5),
// max_inline). Reading larger files may take long, for example after a backup changed
// the access times of all files (mount(8), relatime).
const (
	medium = 4 << 10
	large  = 16 << 20
)

// Same reports whether two regular files at a path in two Roots have the same content,
// or whether two directories are equal with everything below them. Large files count as
// equal only if they share all their extents, like unchanged files in snapshots.
func Same(name string, a, b merge.Tree) (bool, error) {
	first, err := a.(*Root).open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer first.Close()
	info, err := first.Stat()
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return sameWhole(name, a.(*Root), b.(*Root))
	}
	second, err := b.(*Root).open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer second.Close()
	return sameFiles(first, second, info.Size())
}

// sameFiles compares two files; size is the size of the first one.
func sameFiles(first, second *os.File, size int64) (bool, error) {
	if size > medium {
		if shared, err := sharesAll(first, second); err != nil || shared {
			return shared, err
		}
	}
	if size > large {
		return false, nil
	}
	return sameContent(first, second)
}

// sharesAll reports whether two files certainly share all their data.
func sharesAll(a, b *os.File) (bool, error) {
	var known [2][]extent
	var modified [2]time.Time
	for i, f := range []*os.File{a, b} {
		var err error
		if known[i], err = extents(int(f.Fd())); err != nil {
			return false, fmt.Errorf("cannot find the location of %s on the disk: %w", f.Name(), err)
		}
		info, err := f.Stat()
		if err != nil {
			return false, err
		}
		modified[i] = info.ModTime()
	}
	if known[0] == nil || !slices.Equal(known[0], known[1]) {
		return false, nil
	}
	// The location of compressed data does not identify the used part.
	compressed := slices.ContainsFunc(known[0], func(e extent) bool { return e.compressed })
	return !compressed || modified[0].Equal(modified[1]), nil
}

// compareBuffers are the buffers of sameContent.
var compareBuffers = sync.Pool{New: func() any { return new([2][128 << 10]byte) }}

// sameContent compares two streams.
func sameContent(a, b io.Reader) (bool, error) {
	buffers := compareBuffers.Get().(*[2][128 << 10]byte)
	defer compareBuffers.Put(buffers)
	first, second := buffers[0][:], buffers[1][:]
	for {
		n, err := io.ReadFull(a, first)
		m, err2 := io.ReadFull(b, second)
		for _, e := range []error{err, err2} {
			if e != nil && e != io.EOF && e != io.ErrUnexpectedEOF {
				return false, e
			}
		}
		if !bytes.Equal(first[:n], second[:m]) {
			return false, nil
		}
		if n < len(first) {
			return true, nil
		}
	}
}

// extent is a part of a file with its location on the disk.
type extent struct {
	logical, physical, length uint64
	compressed                bool
}

// fiemap is struct fiemap with its extents (linux/fiemap.h).
type fiemap struct {
	start, length uint64
	flags         uint32
	mapped        uint32
	count         uint32
	_             uint32
	extents       [256]struct {
		logical, physical, length uint64
		_                         [2]uint64
		flags                     uint32
		_                         [3]uint32
	}
}

const (
	fsIocFiemap = 0xc020660b // FS_IOC_FIEMAP: _IOWR('f', 11, struct fiemap)
	fiemapSync  = 0x1        // FIEMAP_FLAG_SYNC
	extentLast  = 0x1        // FIEMAP_EXTENT_LAST
	extentCoded = 0x8        // FIEMAP_EXTENT_ENCODED
	// The location of unknown, unwritten and inline data has no meaning.
	extentVague = 0x2 | 0x4 | 0x200 | 0x400
)

// extents returns the locations of a file's data. It returns nil if they do not
// identify the content, for example for inline data.
func extents(fd int) ([]extent, error) {
	found := []extent{}
	for start := uint64(0); ; {
		args := fiemap{start: start, length: ^uint64(0) - start, flags: fiemapSync, count: 256}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocFiemap, uintptr(unsafe.Pointer(&args)))
		if errno == unix.EOPNOTSUPP || errno == unix.ENOTTY {
			return nil, nil
		}
		if errno != 0 {
			return nil, errno
		}
		for _, e := range args.extents[:args.mapped] {
			if e.flags&extentVague != 0 {
				return nil, nil
			}
			found = append(found, extent{e.logical, e.physical, e.length, e.flags&extentCoded != 0})
			if e.flags&extentLast != 0 {
				return found, nil
			}
			start = e.logical + e.length
		}
		if args.mapped == 0 {
			return found, nil
		}
	}
}
