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

// chunks returns all chunks of the file system that holds f.
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
	stripes := float64(binary.LittleEndian.Uint16(item[44:]))
	c := chunk{
		start:  k.offset,
		size:   binary.LittleEndian.Uint64(item),
		kind:   binary.LittleEndian.Uint64(item[24:]),
		copies: 1,
	}
	switch {
	case c.kind&(C.BTRFS_BLOCK_GROUP_DUP|C.BTRFS_BLOCK_GROUP_RAID1|C.BTRFS_BLOCK_GROUP_RAID10) != 0:
		c.copies = 2
	case c.kind&C.BTRFS_BLOCK_GROUP_RAID1C3 != 0:
		c.copies = 3
	case c.kind&C.BTRFS_BLOCK_GROUP_RAID1C4 != 0:
		c.copies = 4
	case c.kind&C.BTRFS_BLOCK_GROUP_RAID5 != 0 && stripes > 1:
		c.copies = stripes / (stripes - 1)
	case c.kind&C.BTRFS_BLOCK_GROUP_RAID6 != 0 && stripes > 2:
		c.copies = stripes / (stripes - 2)
	}
	return c, nil
}
