//go:build cgo

package btrfs

// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
)

// root is the root tree's data about a subvolume.
type root struct {
	id         uint64
	made       uint64 // the transaction that created it, for a snapshot
	generation uint64 // the transaction of its last change
	deleted    bool   // the kernel is deleting it
}

// Offsets in struct btrfs_root_item, which is little endian and packed.
const (
	rootGeneration = 160
	rootRefs       = 216
	rootItemSize   = 239 // the minimum, before Linux 3.6
)

// roots returns all subvolumes of f's file system.
func roots(f *os.File) ([]root, error) {
	var found []root
	part := span{
		tree: C.BTRFS_ROOT_TREE_OBJECTID,
		from: key{object: topLevelID, kind: C.BTRFS_ROOT_ITEM_KEY},
		to:   key{uint64(math.MaxUint64 - 255), math.MaxUint8, math.MaxUint64}, // BTRFS_LAST_FREE_OBJECTID
	}
	err := search(f, part, func(k key, item []byte) error {
		if k.kind != C.BTRFS_ROOT_ITEM_KEY || k.object != topLevelID && k.object < C.BTRFS_FIRST_FREE_OBJECTID {
			return nil
		}
		r, err := parseRoot(k, item)
		found = append(found, r)
		return err
	})
	return found, err
}

// parseRoot reads a struct btrfs_root_item.
func parseRoot(k key, item []byte) (root, error) {
	if len(item) < rootItemSize {
		return root{}, errors.New("cannot read a subvolume in the root tree: it is too short")
	}
	return root{
		id:         k.object,
		made:       k.offset,
		generation: binary.LittleEndian.Uint64(item[rootGeneration:]),
		deleted:    binary.LittleEndian.Uint32(item[rootRefs:]) == 0,
	}, nil
}
