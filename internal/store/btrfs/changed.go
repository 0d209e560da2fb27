//go:build cgo

package btrfs

// #include <linux/btrfs.h>
// #include <linux/btrfs_tree.h>
import "C"

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Changed implements store.Store. The time it takes is in proportion to what
// changed: the tree is searched for leaves that were written since.
func (s *Store) Changed(path string, since uint64) ([]string, error) {
	f, err := s.openSubvolume(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	inodes, err := changedInodes(f, since)
	if err != nil {
		return nil, fmt.Errorf("cannot find what changed in %s: %w", path, err)
	}
	var paths []string
	for _, inode := range inodes {
		names, err := inodePaths(f, inode)
		if err != nil && !errors.Is(err, unix.ENOENT) { // deleted, and still open
			return nil, fmt.Errorf("cannot find the name of inode %d in %s: %w", inode, path, err)
		}
		paths = append(paths, names...)
	}
	return paths, nil
}

// Places in struct btrfs_inode_item, which is little endian and packed.
const (
	inodeTransid  = 8
	inodeItemSize = 160
)

// changedInodes returns the inodes of the subvolume that holds f whose item was
// written after a generation, by number.
func changedInodes(f *os.File, since uint64) ([]uint64, error) {
	part := span{
		tree:  0, // the one that f is in
		from:  key{object: rootInode},
		to:    key{uint64(math.MaxUint64 - 255), math.MaxUint8, math.MaxUint64}, // BTRFS_LAST_FREE_OBJECTID
		since: since + 1,
	}
	var inodes []uint64
	err := search(f, part, func(k key, item []byte) error {
		if k.kind != C.BTRFS_INODE_ITEM_KEY {
			return nil
		}
		if len(item) < inodeItemSize {
			return fmt.Errorf("inode %d has an item of %d bytes", k.object, len(item))
		}
		// A leaf that was written again has inodes besides that didn't change.
		if binary.LittleEndian.Uint64(item[inodeTransid:]) > since {
			inodes = append(inodes, k.object)
		}
		return nil
	})
	return inodes, err
}

// rootInode is the number of a subvolume's root directory.
const rootInode = C.BTRFS_FIRST_FREE_OBJECTID

// inodePaths returns all paths of an inode in the subvolume that holds f: ENOENT
// if it has none.
func inodePaths(f *os.File, inode uint64) ([]string, error) {
	if inode == rootInode {
		return []string{"."}, nil
	}
	for size := 4 << 10; ; size *= 4 {
		words := make([]uint64, size/8)
		args := C.struct_btrfs_ioctl_ino_path_args{inum: C.__u64(inode), size: C.__u64(size)}
		args.fspath = C.__u64(uintptr(unsafe.Pointer(&words[0])))
		err := ioctl(f, "BTRFS_IOC_INO_PATHS", C.BTRFS_IOC_INO_PATHS, unsafe.Pointer(&args))
		if err != nil {
			return nil, err
		}
		buf := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
		if missed := binary.NativeEndian.Uint32(buf[12:]); missed > 0 && size < 1<<20 {
			continue
		}
		return parsePaths(buf)
	}
}

// parsePaths reads a struct btrfs_data_container: four numbers, of which the
// third is how many paths there are, then where each is from there on.
func parsePaths(buf []byte) ([]string, error) {
	const header = 16
	count := int(binary.NativeEndian.Uint32(buf[8:]))
	missed := binary.NativeEndian.Uint32(buf[12:])
	values := buf[header:]
	if missed > 0 || count > len(values)/8 {
		return nil, fmt.Errorf("%d paths are too many", count+int(missed))
	}
	paths := make([]string, 0, count)
	for i := range count {
		at := binary.NativeEndian.Uint64(values[8*i:])
		if at >= uint64(len(values)) {
			return nil, errors.New("a path is outside of what was returned")
		}
		name, _, _ := bytes.Cut(values[at:], []byte{0})
		paths = append(paths, string(name))
	}
	return paths, nil
}
