//go:build cgo

package btrfs

// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"os"
)

// chunk is a range of logical addresses.
type chunk struct {
	start, size uint64 // bytes
	kind        uint64 // BTRFS_BLOCK_GROUP_ flags
	copies      float64
}

func (c chunk) data() bool     { return c.kind&C.BTRFS_BLOCK_GROUP_DATA != 0 }
func (c chunk) metadata() bool { return c.kind&C.BTRFS_BLOCK_GROUP_METADATA != 0 }

// chunks returns all chunks of f's file system.
func chunks(f *os.File) ([]chunk, error) {
	var found []chunk
	part := span{
		tree: C.BTRFS_CHUNK_TREE_OBJECTID,
		from: key{object: C.BTRFS_FIRST_CHUNK_TREE_OBJECTID, kind: C.BTRFS_CHUNK_ITEM_KEY},
		to:   key{C.BTRFS_FIRST_CHUNK_TREE_OBJECTID, C.BTRFS_CHUNK_ITEM_KEY, lastKey.offset},
	}
	err := search(f, part, func(k key, item []byte) error {
		c, err := parseChunk(k, item)
		found = append(found, c)
		return err
	})
	return found, err
}

// parseChunk reads a struct btrfs_chunk.
func parseChunk(k key, item []byte) (chunk, error) {
	if len(item) < 48 {
		return chunk{}, errors.New("cannot read a chunk: it is too short")
	}
	return chunk{
		start:  k.offset,
		size:   binary.LittleEndian.Uint64(item),
		kind:   binary.LittleEndian.Uint64(item[24:]),
		copies: copiesOf(binary.LittleEndian.Uint64(item[24:]), float64(binary.LittleEndian.Uint16(item[44:]))),
	}, nil
}

// copiesOf returns the number of bytes on the disks for each byte in a block group with
// these BTRFS_BLOCK_GROUP_ flags and this number of stripes.
func copiesOf(kind uint64, stripes float64) float64 {
	switch {
	case kind&(C.BTRFS_BLOCK_GROUP_DUP|C.BTRFS_BLOCK_GROUP_RAID1|C.BTRFS_BLOCK_GROUP_RAID10) != 0:
		return 2
	case kind&C.BTRFS_BLOCK_GROUP_RAID1C3 != 0:
		return 3
	case kind&C.BTRFS_BLOCK_GROUP_RAID1C4 != 0:
		return 4
	case kind&C.BTRFS_BLOCK_GROUP_RAID5 != 0 && stripes > 1:
		return stripes / (stripes - 1)
	case kind&C.BTRFS_BLOCK_GROUP_RAID6 != 0 && stripes > 2:
		return stripes / (stripes - 2)
	}
	return 1
}
