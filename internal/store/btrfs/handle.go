//go:build cgo

package btrfs

// #include <linux/btrfs_tree.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// openInode opens a directory of a subvolume by its inode number, for paths that are
// too long for any call: every user can create such directories, and subvolumes in
// them. It needs CAP_DAC_READ_SEARCH.
func (s *Store) openInode(subvolume, inode uint64) (*os.File, error) {
	generation, err := generationOf(s.top, subvolume, inode)
	if err != nil {
		return nil, err
	}
	// struct btrfs_fid without a parent, in native byte order and packed
	const withoutParent, size = 0x4d, 20
	id := make([]byte, size)
	binary.NativeEndian.PutUint64(id, inode)
	binary.NativeEndian.PutUint64(id[8:], subvolume)
	binary.NativeEndian.PutUint32(id[16:], uint32(generation))
	fd, err := unix.OpenByHandleAt(int(s.top.Fd()), unix.NewFileHandle(withoutParent, id), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if errors.Is(err, unix.ESTALE) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, os.NewSyscallError("open_by_handle_at", err)
	}
	return os.NewFile(uintptr(fd), "a directory with a long path"), nil
}

// generationOf returns the generation in which an inode was created, which
// distinguishes it from other inodes with the same number.
func generationOf(f *os.File, subvolume, inode uint64) (generation uint64, err error) {
	at := key{object: inode, kind: C.BTRFS_INODE_ITEM_KEY}
	found := false
	err = search(f, span{tree: subvolume, from: at, to: at}, func(k key, item []byte) error {
		if k == at && len(item) >= inodeItemSize {
			generation, found = binary.LittleEndian.Uint64(item), true
		}
		return nil
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return generation, err
}
