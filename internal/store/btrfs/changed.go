//go:build cgo

package btrfs

// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Changed implements store.Store. Its time is proportional to the changes: it searches
// the tree for leaves that were written since then.
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
	dirs := newDirectories(f)
	for _, inode := range inodes {
		found, err := dirs.pathsOf(inode)
		if err != nil {
			return nil, fmt.Errorf("cannot find the name of inode %d in %s: %w", inode.number, path, err)
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// changedInode is an inode whose item was written.
type changedInode struct {
	number uint64
	links  int    // its number of names: 0 if it was deleted and is still open
	names  []name // its names in leaves that were also written
}

// Offsets in struct btrfs_inode_item, which is little endian and packed.
const (
	inodeTransid  = 8
	inodeLinks    = 40
	inodeItemSize = 160
)

// changedInodes returns the inodes of f's subvolume whose item was written after a
// generation, by number. Most have their names in the same leaf.
func changedInodes(f *os.File, since uint64) ([]changedInode, error) {
	part := span{
		tree:  0, // f's own tree
		from:  key{object: rootInode},
		to:    key{uint64(math.MaxUint64 - 255), math.MaxUint8, math.MaxUint64}, // BTRFS_LAST_FREE_OBJECTID
		since: since + 1,
	}
	var inodes []changedInode
	err := search(f, part, func(k key, item []byte) error {
		switch k.kind {
		case C.BTRFS_INODE_ITEM_KEY:
			if len(item) < inodeItemSize {
				return fmt.Errorf("inode %d has an item of %d bytes", k.object, len(item))
			}
			// A leaf that was written again also has unchanged inodes.
			if binary.LittleEndian.Uint64(item[inodeTransid:]) > since {
				links := binary.LittleEndian.Uint32(item[inodeLinks:])
				inodes = append(inodes, changedInode{number: k.object, links: int(links)})
			}
		case C.BTRFS_INODE_REF_KEY, C.BTRFS_INODE_EXTREF_KEY:
			if n := len(inodes); n > 0 && inodes[n-1].number == k.object {
				names, err := parseNames(k, item)
				inodes[n-1].names = append(inodes[n-1].names, names...)
				return err
			}
		}
		return nil
	})
	return inodes, err
}

// rootInode is the number of a subvolume's root directory.
const rootInode = C.BTRFS_FIRST_FREE_OBJECTID

// pathsOf returns all paths of an inode, without those in deleted directories.
func (d *directories) pathsOf(inode changedInode) ([]string, error) {
	if inode.number == rootInode {
		return []string{"."}, nil
	}
	names := inode.names
	if len(names) != inode.links {
		var err error
		if names, err = namesOf(d.f, 0, inode.number); err != nil {
			return nil, err
		}
	}
	var paths []string
	for _, n := range names {
		dir, err := d.path(n.dir)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !dir.deep {
			paths = append(paths, dir.path+n.name)
		} else if !d.told[dir.path] {
			d.told[dir.path] = true
			paths = append(paths, dir.path)
		}
	}
	return paths, nil
}

// namesOf returns all names of an inode in a subvolume (0 for f's own), from its
// references to its directories. BTRFS_IOC_INO_PATHS would return only as many as fit
// in 4 KiB.
func namesOf(f *os.File, tree, inode uint64) ([]name, error) {
	part := span{
		tree: tree,
		from: key{object: inode, kind: C.BTRFS_INODE_REF_KEY},
		to:   key{inode, C.BTRFS_INODE_EXTREF_KEY, math.MaxUint64},
	}
	var names []name
	err := search(f, part, func(k key, item []byte) error {
		found, err := parseNames(k, item)
		names = append(names, found...)
		return err
	})
	return names, err
}

// name is a name of an inode in a directory.
type name struct {
	dir  uint64
	name string
}

// parseNames reads an item with names of an inode: in one directory, whose number is in
// the key (struct btrfs_inode_ref), or, if they do not fit, in several directories
// (struct btrfs_inode_extref). Both are little endian and packed.
func parseNames(k key, item []byte) ([]name, error) {
	var names []name
	for len(item) > 0 {
		dir, header := k.offset, 10
		if k.kind == C.BTRFS_INODE_EXTREF_KEY {
			header = 18
		}
		if len(item) < header {
			return nil, fmt.Errorf("inode %d has a name of %d bytes", k.object, len(item))
		}
		if k.kind == C.BTRFS_INODE_EXTREF_KEY {
			dir = binary.LittleEndian.Uint64(item)
		}
		size := int(binary.LittleEndian.Uint16(item[header-2:]))
		if size > len(item)-header {
			return nil, fmt.Errorf("inode %d has a name that is cut off", k.object)
		}
		names = append(names, name{dir, string(item[header : header+size])})
		item = item[header+size:]
	}
	return names, nil
}
