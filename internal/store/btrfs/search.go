//go:build cgo

package btrfs

// #include <linux/btrfs.h>
// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"unsafe"
)

// key is a position in a tree. Trees are sorted by object, then by kind, then
// by offset.
type key struct {
	object uint64
	kind   uint8
	offset uint64
}

// lastKey is the highest key.
var lastKey = key{math.MaxUint64, math.MaxUint8, math.MaxUint64}

// next returns the key right after k, or false if there is none.
func (k key) next() (key, bool) {
	switch {
	case k.offset < math.MaxUint64:
		k.offset++
	case k.kind < math.MaxUint8:
		k.kind, k.offset = k.kind+1, 0
	case k.object < math.MaxUint64:
		k = key{object: k.object + 1}
	default:
		return k, false
	}
	return k, true
}

// span is a part of a tree.
type span struct {
	tree     uint64
	from, to key    // both inclusive
	since    uint64 // only leaves that were written in this generation or later
}

// searchBuffer is the maximum result of one tree search, in bytes. From 64 KiB to 1 MiB
// the speed is the same.
const searchBuffer = 256 << 10

// searchBuffers are the arguments and results of searches. They consist of words, so
// that the kernel's structure is aligned.
var searchBuffers = sync.Pool{New: func() any {
	return new([(searchArgs + searchBuffer) / 8]uint64)
}}

const searchArgs = unsafe.Sizeof(C.struct_btrfs_ioctl_search_args_v2{})

// search calls visit for each item of a part of a tree, in order. The item is valid
// until visit returns. Trees may change during the search: each leaf is consistent, but
// not all leaves together.
func search(f *os.File, part span, visit func(k key, item []byte) error) error {
	words := searchBuffers.Get().(*[(searchArgs + searchBuffer) / 8]uint64)
	defer searchBuffers.Put(words)
	args := (*C.struct_btrfs_ioctl_search_args_v2)(unsafe.Pointer(words))
	buf := unsafe.Slice((*byte)(unsafe.Pointer(words)), len(words)*8)[searchArgs:]
	from := part.from
	for {
		args.key = C.struct_btrfs_ioctl_search_key{
			tree_id:      C.__u64(part.tree),
			min_objectid: C.__u64(from.object), max_objectid: C.__u64(part.to.object),
			min_type: C.__u32(from.kind), max_type: C.__u32(part.to.kind),
			min_offset: C.__u64(from.offset), max_offset: C.__u64(part.to.offset),
			min_transid: C.__u64(part.since), max_transid: math.MaxUint64,
			nr_items: math.MaxUint32,
		}
		args.buf_size = C.__u64(len(buf))
		err := ioctl(f, "BTRFS_IOC_TREE_SEARCH_V2", C.BTRFS_IOC_TREE_SEARCH_V2, unsafe.Pointer(args))
		if err != nil {
			return fmt.Errorf("cannot search tree %d: %w", part.tree, err)
		}
		if args.key.nr_items == 0 {
			return nil
		}
		last, err := parseSearch(buf, int(args.key.nr_items), visit)
		if err != nil {
			return err
		}
		var more bool
		if from, more = last.next(); !more {
			return nil
		}
	}
}

// parseSearch calls visit for each of n items of a tree search's result, and returns
// the key of the last one. Before each item is a struct btrfs_ioctl_search_header, in
// native byte order.
func parseSearch(buf []byte, n int, visit func(k key, item []byte) error) (last key, err error) {
	for range n {
		if len(buf) < searchHeaderSize {
			return last, errors.New("cannot read a tree search: it is too short")
		}
		last = key{
			object: binary.NativeEndian.Uint64(buf[8:]),
			offset: binary.NativeEndian.Uint64(buf[16:]),
			kind:   uint8(binary.NativeEndian.Uint32(buf[24:])),
		}
		size := int(binary.NativeEndian.Uint32(buf[28:]))
		buf = buf[searchHeaderSize:]
		if size > len(buf) {
			return last, fmt.Errorf("cannot read a tree search: an item of %d bytes", size)
		}
		if err := visit(last, buf[:size]); err != nil {
			return last, err
		}
		buf = buf[size:]
	}
	return last, nil
}
