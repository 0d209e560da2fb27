package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Files of up to inline bytes are stored in the metadata and take no block of data
// (max_inline, 2048 bytes by default: btrfs(5)).
const (
	inline = 2048
	block  = 4096
)

// Minimum is the data of a tree that another tree lacks: the least space that an
// upgrade between the two can take.
type Minimum struct {
	// Bytes is the size, in whole blocks, of files whose content is in no file of the
	// other tree. Equal contents count once.
	Bytes int64
	// Same and SameBytes count files of more than inline bytes that were written again
	// with the same content and name.
	Same      int
	SameBytes int64
}

// contents has the files of a tree by size, and the hashes of those that were read.
type contents struct {
	sizes map[int64][]string
	sums  map[int64]map[[sha256.Size]byte]bool
}

// minimum compares a tree with its origin. A file that the snapshot shares has the same
// inode number and change time in both, and is not read.
func minimum(origin, tree string) (Minimum, error) {
	c := contents{sizes: map[int64][]string{}, sums: map[int64]map[[sha256.Size]byte]bool{}}
	err := regular(origin, func(path string, st *syscall.Stat_t) error {
		c.sizes[st.Size] = append(c.sizes[st.Size], filepath.Join(origin, path))
		return nil
	})
	if err != nil {
		return Minimum{}, err
	}
	var m Minimum
	seen := map[uint64]bool{}
	err = regular(tree, func(path string, st *syscall.Stat_t) error {
		if st.Size <= inline || seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = true
		old, err := os.Lstat(filepath.Join(origin, path))
		if err == nil && old.Mode().IsRegular() {
			was := old.Sys().(*syscall.Stat_t)
			if was.Ino == st.Ino && was.Ctim == st.Ctim && was.Size == st.Size {
				return nil
			}
		}
		sum, err := sumOf(filepath.Join(tree, path))
		if err != nil {
			return err
		}
		blocks := (st.Size + block - 1) / block * block
		if old != nil && old.Mode().IsRegular() && old.Size() == st.Size {
			before, err := sumOf(filepath.Join(origin, path))
			if err != nil {
				return err
			}
			if before == sum {
				m.Same++
				m.SameBytes += blocks
				return nil
			}
		}
		fresh, err := c.add(st.Size, sum)
		if err == nil && fresh {
			m.Bytes += blocks
		}
		return err
	})
	return m, err
}

// add records a content, and reports whether it is new.
func (c contents) add(size int64, sum [sha256.Size]byte) (bool, error) {
	known := c.sums[size]
	if known == nil {
		known = map[[sha256.Size]byte]bool{}
		for _, path := range c.sizes[size] {
			s, err := sumOf(path)
			if err != nil {
				return false, err
			}
			known[s] = true
		}
		c.sums[size] = known
	}
	fresh := !known[sum]
	known[sum] = true
	return fresh, nil
}

// regular calls do for each regular file of a tree, with its relative path. It does not
// enter other subvolumes.
func regular(tree string, do func(path string, st *syscall.Stat_t) error) error {
	var device uint64
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() && !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("no inode")
		}
		if entry.IsDir() {
			if path == tree {
				device = st.Dev
			} else if st.Dev != device {
				return filepath.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		return do(relative, st)
	})
	if err != nil {
		return fmt.Errorf("cannot compare %s: %w", tree, err)
	}
	return nil
}

// sumOf returns the hash of a file's content.
func sumOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}
