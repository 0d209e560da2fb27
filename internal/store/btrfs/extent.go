//go:build cgo

package btrfs

// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"fmt"
)

// reference is a use of an extent: by a tree's own blocks, or by one block.
type reference struct {
	block bool   // of is the address of a block, otherwise the id of a tree
	of    uint64 // an extent below a tree's own blocks is listed by tree, not by block
}

// extent is the extent tree's data about a piece of space: a block of a tree
// (metadata), or data of files.
type extent struct {
	at         uint64 // logical address in bytes
	size       uint64 // in bytes, for data only
	generation uint64 // the transaction that allocated it
	data       bool
	full       bool    // a block: the extents that it refers to list it by its address
	level      uint8   // for a block: 0 for leaves
	items      int     // size of its description in the extent tree, in bytes
	copies     float64 // number of copies on the devices
	refs       []reference
}

// Sizes in the extent tree, which is little endian and packed. References follow a
// struct btrfs_extent_item, or, for a block whose item has its size in its key, a
// struct btrfs_tree_block_info, as many as fit. Further references are items of their
// own, directly behind it.
const (
	itemHeaderSize     = 25 // struct btrfs_item, in each leaf
	extentItemSize     = 24 // refs, generation, flags: 8 bytes each
	treeBlockInfoSize  = 18 // the last byte is the level
	inlineRefSize      = 9  // its type, one byte, and a root or an address
	sharedDataRefExtra = 4  // followed by a count
	dataRefSize        = 28 // root, inode, offset: 8 bytes each, and a count
)

// extentReader combines the items of the extent tree. An emitted extent is valid until
// emit returns.
type extentReader struct {
	emit    func(*extent) error
	copies  float64 // number of copies of each extent
	current extent
	has     bool
}

// item takes the next item.
func (r *extentReader) item(k key, item []byte) error {
	switch k.kind {
	case C.BTRFS_EXTENT_ITEM_KEY, C.BTRFS_METADATA_ITEM_KEY:
		if err := r.flush(); err != nil {
			return err
		}
		return r.begin(k, item)
	case C.BTRFS_TREE_BLOCK_REF_KEY:
		r.refer(false, k.offset)
	case C.BTRFS_SHARED_BLOCK_REF_KEY, C.BTRFS_SHARED_DATA_REF_KEY:
		r.refer(true, k.offset)
	case C.BTRFS_EXTENT_DATA_REF_KEY:
		if len(item) < dataRefSize {
			return damagedExtent(k)
		}
		r.refer(false, binary.LittleEndian.Uint64(item))
	default:
		return nil
	}
	r.current.items += itemHeaderSize + len(item)
	return nil
}

// flush emits the last extent.
func (r *extentReader) flush() error {
	if !r.has {
		return nil
	}
	r.has = false
	return r.emit(&r.current)
}

func (r *extentReader) refer(block bool, of uint64) {
	r.current.refs = append(r.current.refs, reference{block, of})
}

// begin reads the item that describes an extent, with the references in it.
func (r *extentReader) begin(k key, item []byte) error {
	if len(item) < extentItemSize {
		return damagedExtent(k)
	}
	flags := binary.LittleEndian.Uint64(item[16:])
	r.has = true
	r.current = extent{
		at:         k.object,
		generation: binary.LittleEndian.Uint64(item[8:]),
		data:       flags&C.BTRFS_EXTENT_FLAG_DATA != 0,
		full:       flags&C.BTRFS_BLOCK_FLAG_FULL_BACKREF != 0,
		items:      itemHeaderSize + len(item),
		copies:     r.copies,
		refs:       r.current.refs[:0],
	}
	rest := item[extentItemSize:]
	switch {
	case k.kind == C.BTRFS_METADATA_ITEM_KEY:
		r.current.level = uint8(k.offset)
	case r.current.data:
		r.current.size = k.offset
	case len(rest) < treeBlockInfoSize:
		return damagedExtent(k)
	default:
		r.current.level = rest[treeBlockInfoSize-1]
		rest = rest[treeBlockInfoSize:]
	}
	for len(rest) > 0 {
		var ok bool
		if rest, ok = r.inline(rest); !ok {
			return damagedExtent(k)
		}
	}
	return nil
}

// inline reads the reference at the start of rest, and returns the rest behind it.
func (r *extentReader) inline(rest []byte) ([]byte, bool) {
	kind, size := rest[0], inlineRefSize
	switch kind {
	case C.BTRFS_EXTENT_DATA_REF_KEY:
		size = 1 + dataRefSize
	case C.BTRFS_SHARED_DATA_REF_KEY:
		size += sharedDataRefExtra
	}
	if len(rest) < size {
		return nil, false
	}
	of := binary.LittleEndian.Uint64(rest[1:])
	switch kind {
	case C.BTRFS_TREE_BLOCK_REF_KEY, C.BTRFS_EXTENT_DATA_REF_KEY:
		r.refer(false, of)
	case C.BTRFS_SHARED_BLOCK_REF_KEY, C.BTRFS_SHARED_DATA_REF_KEY:
		r.refer(true, of)
	case extentOwnerRef:
	default:
		return nil, false
	}
	return rest[size:], true
}

// extentOwnerRef is BTRFS_EXTENT_OWNER_REF_KEY, for simple quotas (Linux 6.7): the
// allocator of an extent, who need not use it any more.
const extentOwnerRef = 172

func damagedExtent(k key) error {
	return fmt.Errorf("cannot read the item of the extent tree at %d: unknown format", k.object)
}
