//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"path"
	"slices"

	containerd "github.com/containerd/btrfs/v2"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Nested implements store.Store. It reads the root tree and no directory, so the number
// of files does not matter. It skips subvolumes whose paths are too long for any call,
// with everything in them: no user can prevent others from finding theirs.
func (s *Store) Nested(p string) ([]store.Subvolume, error) {
	found, err := s.nested(p)
	if err != nil {
		return nil, fmt.Errorf("cannot list subvolumes nested in %q: %w", p, err)
	}
	return found, nil
}

func (s *Store) nested(p string) ([]store.Subvolume, error) {
	at, err := s.place(p)
	if err != nil {
		return nil, err
	}
	defer at.close()
	if err := at.check(); err != nil {
		return nil, err
	}
	id, err := containerd.SubvolID(at.path())
	if err != nil {
		return nil, err
	}
	return s.appendNested(nil, id, p)
}

// appendNested appends the subvolumes nested in subvolume id, which is at p. It skips
// those that disappear meanwhile.
func (s *Store) appendNested(found []store.Subvolume, id uint64, p string) ([]store.Subvolume, error) {
	inner, err := s.directlyNested(id, p)
	if err != nil {
		return nil, err
	}
	for _, subvolume := range inner {
		found, err = s.appendNested(append(found, subvolume), subvolume.ID, subvolume.Path)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// directlyNested describes the subvolumes directly in subvolume id, which is at p,
// sorted by path.
func (s *Store) directlyNested(id uint64, p string) ([]store.Subvolume, error) {
	inner, err := links(s.top, id, linksToInner)
	if err != nil {
		return nil, err
	}
	var found []store.Subvolume
	for _, link := range inner {
		dir, err := directory(s.top, id, link.dir)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENAMETOOLONG) {
			continue
		}
		if err != nil {
			return nil, err
		}
		subvolume, err := s.get(path.Join(p, dir, link.name))
		// The owner of the directory above can put a link there at any time, or make
		// the path too long.
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume) || errors.Is(err, store.ErrBadPath) || errors.Is(err, unix.ENAMETOOLONG) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, subvolume)
	}
	slices.SortFunc(found, func(a, b store.Subvolume) int { return store.ComparePaths(a.Path, b.Path) })
	return found, nil
}

// Delete implements store.Store.
func (s *Store) Delete(p string) error {
	if err := s.delete(p); err != nil {
		return fmt.Errorf("cannot delete subvolume %q: %w", p, err)
	}
	return nil
}

func (s *Store) delete(p string) error {
	if err := store.CheckNewPath(p); err != nil {
		return err
	}
	outermost, err := s.get(p)
	if err != nil {
		return err
	}
	all, err := s.appendInner(nil, outermost.ID, p)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		if err := s.makeWritable(func() (*place, error) { return s.place(p) }); err != nil {
			return err
		}
	}
	for i, in := range all {
		if i+1 == len(all) || all[i+1].outer != in.other {
			continue
		}
		// It contains other subvolumes, and nothing can be deleted from a read-only
		// one.
		if err := s.makeWritable(func() (*place, error) { return s.placeOf(in) }); err != nil {
			return fmt.Errorf("%q in it: %w", in.named(), err)
		}
	}
	for _, in := range slices.Backward(all) {
		at, err := s.placeOf(in)
		if err == nil {
			err = deleteOne(at, true)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%q in it: %w", in.named(), err)
		}
	}
	at, err := s.place(p)
	if err != nil {
		return err
	}
	return deleteOne(at, false)
}

// inner is a subvolume in another one.
type inner struct {
	link
	outer uint64
	path  string // from the top level; "" if it is too long for any call
}

func (in inner) named() string {
	if in.path == "" {
		return in.name
	}
	return in.path
}

// appendInner appends the subvolumes in subvolume id at any depth, outer ones first,
// whatever their paths are. p is the path of the subvolume, or "".
func (s *Store) appendInner(found []inner, id uint64, p string) ([]inner, error) {
	direct, err := links(s.top, id, linksToInner)
	if err != nil {
		return nil, err
	}
	for _, link := range direct {
		in := inner{link: link, outer: id}
		if p != "" {
			dir, err := directory(s.top, id, link.dir)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			if err != nil && !errors.Is(err, unix.ENAMETOOLONG) {
				return nil, err
			}
			if full := path.Join(p, dir, link.name); err == nil && len(full) < unix.PathMax {
				in.path = full
			}
		}
		if found, err = s.appendInner(append(found, in), link.other, in.path); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// placeOf opens the directory that contains a subvolume.
func (s *Store) placeOf(in inner) (*place, error) {
	if in.path != "" {
		return s.place(in.path)
	}
	dir, err := s.openInode(in.outer, in.dir)
	return &place{dir, in.name}, err
}

// makeWritable makes the subvolume at a place writable.
func (s *Store) makeWritable(find func() (*place, error)) error {
	at, err := find()
	if err != nil {
		return err
	}
	defer at.close()
	f, err := at.open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := subvolumeOf(f)
	if err == nil && info.ReadOnly {
		err = sentinel(setReadOnly(f, false))
	}
	return err
}

// deleteOne deletes a subvolume that contains no other, and closes the place. If it is
// nested in one that is deleted too, it first unlocks the directory above.
func deleteOne(at *place, nested bool) error {
	defer at.close()
	if err := at.check(); err != nil {
		return err
	}
	if err := at.unlockForGood(); err != nil {
		return err
	}
	if nested {
		if _, err := unlock(at.dir); err != nil {
			return err
		}
	}
	return sentinel(destroy(at.dir, at.name))
}
