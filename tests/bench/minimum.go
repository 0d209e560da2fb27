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

// Files up to inline bytes lie in the metadata: they take no block of data
// (max_inline, 2048 bytes by default: btrfs(5)).
const (
	inline = 2048
	block  = 4096
)

// Minimum is what a tree needs that another has not: the least that an upgrade
// from that one to this one can take.
type Minimum struct {
	// Bytes is of data, in whole blocks, of files whose content is in no file of
	// the other tree. Content that is there more than once counts once.
	Bytes int64
	// Same and SameBytes are files of more than inline bytes that were written
	// anew with the content that was there before, under the same name.
	Same      int
	SameBytes int64
}

// contents knows the files of a tree by their sizes, and those that were asked
// for by their sums.
type contents struct {
	sizes map[int64][]string
	sums  map[int64]map[[sha256.Size]byte]bool
}

// minimum compares a tree with its origin. Files that a snapshot shares with it
// have the same inode number and change time in both: these are not read.
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

// add notes a content, and says whether it is new.
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

// regular calls do for each regular file of a tree, by its path from there.
// Other subvolumes in it are not looked into.
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

// sumOf hashes a file's content.
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
