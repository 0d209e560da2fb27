// Package fake implements a snapshot store in a plain directory, for tests without root
// and without btrfs. It passes the suite of package storetest.
//
// Subvolumes are directories, and snapshots are copies. Other properties, such as
// UUIDs, are in a file beside the tree that every call reads again. So several
// processes may use one store, and it survives them.
//
// Two things differ from a real store. Other processes can write to a read-only
// subvolume through Path. And a crash in the middle of a call can leave the tree and
// the file inconsistent.
package fake

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/apt-be/apt-be/internal/store"
)

// Store is a directory that behaves like a file system with subvolumes.
type Store struct {
	dir string

	mu     sync.Mutex
	data   []byte // of the state file, as this Store read or wrote it last
	parsed *state // of data
}

var _ store.Store = (*Store)(nil)

// New opens the store in directory dir, and creates it if the directory is empty or
// missing. The top level is dir/top.
func New(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open a fake store: %w", err)
	}
	s := &Store{dir: dir}
	for _, d := range []string{s.Path("."), s.scratch()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("cannot open a fake store: %w", err)
		}
	}
	return s, nil
}

// Path implements store.Store. ".." cannot leave the store.
func (s *Store) Path(p string) string {
	return filepath.Join(s.dir, "top", path.Clean("/"+p))
}

// scratch is the directory in which copies are made before they get their names.
func (s *Store) scratch() string { return filepath.Join(s.dir, "scratch") }

// Device implements store.Store: the directory that New was given.
func (s *Store) Device() string { return s.dir }

// Close implements store.Store; it does nothing.
func (s *Store) Close() error { return nil }

// FileSystemUUID returns a constant.
func (s *Store) FileSystemUUID() string { return "11111111-2222-3333-4444-555555555555" }

// Free implements store.Store: the capacity minus the size of the files.
func (s *Store) Free() (store.Free, error) {
	const capacity = 1 << 40
	free := store.Free{Spare: capacity, DataCopies: 1, MetadataCopies: 1}
	err := filepath.WalkDir(s.Path("."), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			free.Spare -= min(free.Spare, uint64(info.Size()))
		}
		return err
	})
	if err != nil {
		return store.Free{}, fmt.Errorf("cannot determine the free space: %w", err)
	}
	return free, nil
}

// WaitForDeletions implements store.Store. Deletions are immediate.
func (s *Store) WaitForDeletions(context.Context) error { return nil }

// SetRunning sets the subvolume of this process's own "/": Locate then finds all files
// outside of the store in it. "" unsets it.
func (s *Store) SetRunning(p string) error {
	err := s.update(func(st *state) error {
		if p == "" {
			st.Running = ""
			return nil
		}
		record, err := s.lookup(st, p)
		if err != nil {
			return err
		}
		st.Running = record.UUID
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot take %q as running: %w", p, err)
	}
	return nil
}

// SetBusy sets whether Delete refuses the subvolume at p with store.ErrBusy, as if a
// swap file were active in it.
func (s *Store) SetBusy(p string, busy bool) error {
	err := s.update(func(st *state) error {
		record, err := s.lookup(st, p)
		if err != nil {
			return err
		}
		record.Busy = busy
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot set whether %q is busy: %w", p, err)
	}
	return nil
}

// lookup returns the record of the subvolume at p. Errors: ErrBadPath, ErrNotFound,
// ErrNotSubvolume.
func (s *Store) lookup(st *state, p string) (*record, error) {
	if err := store.CheckPath(p); err != nil {
		return nil, err
	}
	if err := s.checkAbove(p); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.Path(p)); err != nil {
		return nil, store.ErrNotFound
	}
	if r := st.Subvolumes[p]; r != nil {
		return r, nil
	}
	return nil, store.ErrNotSubvolume
}

// checkAbove returns ErrBadPath if a symbolic link is above p.
func (s *Store) checkAbove(p string) error {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if info, err := os.Lstat(s.Path(dir)); err == nil && info.Mode().Type() == os.ModeSymlink {
			return fmt.Errorf("%w: a symbolic link is in it", store.ErrBadPath)
		}
	}
	return nil
}

// newPlace creates the directories above p. Errors: ErrBadPath, ErrExists.
func (s *Store) newPlace(p string) error {
	if err := store.CheckNewPath(p); err != nil {
		return err
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if info, err := os.Lstat(s.Path(dir)); err == nil && !info.IsDir() {
			return fmt.Errorf("%w: %q in it is not a directory", store.ErrBadPath, path.Base(dir))
		}
	}
	if _, err := os.Lstat(s.Path(p)); err == nil {
		return store.ErrExists
	}
	return os.MkdirAll(s.Path(path.Dir(p)), 0o755)
}

// checkEmpty returns nil if p is an empty directory. Errors: ErrBadPath, ErrNotFound,
// ErrExists.
func (s *Store) checkEmpty(st *state, p string) error {
	if err := s.checkAbove(p); err != nil {
		return err
	}
	if _, err := os.Lstat(s.Path(p)); err != nil {
		return store.ErrNotFound
	}
	entries, err := os.ReadDir(s.Path(p))
	if info, _ := os.Lstat(s.Path(p)); err != nil || !info.IsDir() || len(entries) > 0 {
		return fmt.Errorf("%w: it is not an empty directory", store.ErrExists)
	}
	if st.Subvolumes[p] != nil {
		return fmt.Errorf("%w: it is a subvolume", store.ErrExists)
	}
	return nil
}

// inside reports whether p is below dir.
func inside(p, dir string) bool {
	return p != dir && (dir == "." || strings.HasPrefix(p, dir+"/"))
}
