//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	containerd "github.com/containerd/btrfs/v2"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Nested implements store.Store. It reads the root tree and no directory, so
// the number of files does not matter.
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

// appendNested appends those nested in subvolume id, which is at p. One that
// goes away meanwhile is left out.
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

// directlyNested describes those in subvolume id, which is at p, but not
// those nested deeper, by path.
func (s *Store) directlyNested(id uint64, p string) ([]store.Subvolume, error) {
	inner, err := links(s.top, id, linksToInner)
	if err != nil {
		return nil, err
	}
	var found []store.Subvolume
	for _, link := range inner {
		dir, err := directory(s.top, id, link.dir)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		subvolume, err := s.get(path.Join(p, dir, link.name))
		// Whoever owns the directory above can put a link there at any time.
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume) || errors.Is(err, store.ErrBadPath) {
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
	nested, err := s.nested(p)
	if err != nil {
		return err
	}
	all := append([]store.Subvolume{outermost}, nested...)
	if err := s.unlockHolders(all); err != nil {
		return err
	}
	for _, subvolume := range slices.Backward(all) {
		if err := s.deleteOne(subvolume.Path, subvolume.Path != p); err != nil {
			if subvolume.Path != p {
				err = fmt.Errorf("%q in it: %w", subvolume.Path, err)
			}
			return err
		}
	}
	return nil
}

// unlockHolders makes those writable that hold others, because nothing can be
// deleted from a read-only one. all has each before those that it holds.
func (s *Store) unlockHolders(all []store.Subvolume) error {
	for i, subvolume := range all {
		holds := i+1 < len(all) && strings.HasPrefix(all[i+1].Path, subvolume.Path+"/")
		if !holds || !subvolume.ReadOnly {
			continue
		}
		if err := s.setReadOnly(subvolume.Path, false); err != nil {
			return err
		}
	}
	return nil
}

// deleteOne removes a subvolume that holds no other. If it is nested in one that
// goes too, the directory that it is in must not keep it.
func (s *Store) deleteOne(p string, nested bool) error {
	at, err := s.place(p)
	if err != nil {
		return err
	}
	defer at.close()
	if err := at.check(); err != nil {
		return err
	}
	if _, err := at.unlock(); err != nil {
		return err
	}
	if nested {
		if _, err := unlock(at.dir); err != nil {
			return err
		}
	}
	return sentinel(destroy(at.dir, at.name))
}
