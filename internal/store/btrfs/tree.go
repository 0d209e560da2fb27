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
	"path"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// link is the directory entry of one subvolume in another one.
type link struct {
	other uint64 // id of the subvolume at the other end
	dir   uint64 // inode number of the directory, in the outer subvolume
	name  string
}

// The directions of links.
const (
	linksToInner = C.BTRFS_ROOT_REF_KEY     // from a subvolume to those directly in it
	linkToOuter  = C.BTRFS_ROOT_BACKREF_KEY // from a subvolume to the one that contains it
)

// Sizes in a result of BTRFS_IOC_TREE_SEARCH: before each item is a struct
// btrfs_ioctl_search_header, in native byte order; the item is a struct btrfs_root_ref,
// little endian and packed, then the name.
const (
	searchHeaderSize = 32
	rootRefSize      = 18
)

// links returns the links of subvolume id in one direction, from the root tree of f's
// file system: the time depends on the number of subvolumes, not of files.
func links(f *os.File, id uint64, direction uint32) ([]link, error) {
	var found []link
	for next := uint64(0); ; {
		var args C.struct_btrfs_ioctl_search_args
		key := &args.key
		key.tree_id = C.BTRFS_ROOT_TREE_OBJECTID
		key.min_objectid, key.max_objectid = C.__u64(id), C.__u64(id)
		key.min_type, key.max_type = C.__u32(direction), C.__u32(direction)
		key.min_offset, key.max_offset = C.__u64(next), math.MaxUint64
		key.max_transid = math.MaxUint64
		key.nr_items = math.MaxUint32
		err := ioctl(f, "BTRFS_IOC_TREE_SEARCH", C.BTRFS_IOC_TREE_SEARCH, unsafe.Pointer(&args))
		if err != nil {
			return nil, err
		}
		if key.nr_items == 0 {
			return found, nil
		}
		buf := (*[C.BTRFS_SEARCH_ARGS_BUFSIZE]byte)(unsafe.Pointer(&args.buf))[:]
		batch, err := parseLinks(buf, int(key.nr_items))
		if err != nil {
			return nil, err
		}
		found = append(found, batch...)
		last := batch[len(batch)-1].other
		if last == math.MaxUint64 {
			return found, nil
		}
		next = last + 1
	}
}

// parseLinks reads n items of a tree search.
func parseLinks(buf []byte, n int) ([]link, error) {
	var found []link
	for range n {
		if len(buf) < searchHeaderSize {
			return nil, errors.New("cannot read a tree search: it is too short")
		}
		offset := binary.NativeEndian.Uint64(buf[16:])
		size := int(binary.NativeEndian.Uint32(buf[28:]))
		buf = buf[searchHeaderSize:]
		if size < rootRefSize || size > len(buf) {
			return nil, fmt.Errorf("cannot read a tree search: an item of %d bytes", size)
		}
		item := buf[:size]
		nameSize := int(binary.LittleEndian.Uint16(item[16:]))
		if rootRefSize+nameSize > size {
			return nil, fmt.Errorf("cannot read a tree search: a name of %d bytes in an item of %d", nameSize, size)
		}
		found = append(found, link{
			other: offset,
			dir:   binary.LittleEndian.Uint64(item),
			name:  string(item[rootRefSize : rootRefSize+nameSize]),
		})
		buf = buf[size:]
	}
	return found, nil
}

// lookUp is directory for a path that fits into 4 KiB: ENAMETOOLONG.
func lookUp(f *os.File, id, inode uint64) (string, error) {
	var args C.struct_btrfs_ioctl_ino_lookup_args
	args.treeid, args.objectid = C.__u64(id), C.__u64(inode)
	err := ioctl(f, "BTRFS_IOC_INO_LOOKUP", C.BTRFS_IOC_INO_LOOKUP, unsafe.Pointer(&args))
	if err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut((*[C.BTRFS_INO_LOOKUP_PATH_MAX]byte)(unsafe.Pointer(&args.name))[:], []byte{0})
	return string(name), nil
}

// pathOf returns the path of a subvolume from the top level. The error is ErrNotFound
// if it was deleted and only open files or mounts keep it.
func pathOf(f *os.File, id uint64) (string, error) {
	p := ""
	for id != topLevelID {
		outer, err := links(f, id, linkToOuter)
		if err != nil {
			return "", err
		}
		if len(outer) == 0 {
			return "", fmt.Errorf("%w: the one with id %d is deleted", store.ErrNotFound, id)
		}
		dir, err := directory(f, outer[0].other, outer[0].dir)
		if errors.Is(err, unix.ENOENT) {
			return "", fmt.Errorf("%w: the one with id %d is deleted", store.ErrNotFound, id)
		}
		if err != nil {
			return "", err
		}
		p = path.Join(dir, outer[0].name, p)
		id = outer[0].other
	}
	return path.Clean(p), nil
}
