package fake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Get implements store.Store.
func (s *Store) Get(p string) (found store.Subvolume, err error) {
	err = s.view(func(st *state) error {
		if _, err := s.lookup(st, p); err != nil {
			return err
		}
		found = st.describe(p)
		return nil
	})
	if err != nil {
		return store.Subvolume{}, fmt.Errorf("cannot read subvolume %q: %w", p, err)
	}
	return found, nil
}

// Locate implements store.Store. A file outside the store is in the running
// subvolume, see SetRunning.
func (s *Store) Locate(file string) (found store.Subvolume, err error) {
	err = s.view(func(st *state) error {
		p, err := s.locate(st, file)
		if err != nil {
			return err
		}
		found = st.describe(p)
		return nil
	})
	if err != nil {
		return store.Subvolume{}, fmt.Errorf("cannot find the subvolume of %q: %w", file, err)
	}
	return found, nil
}

func (s *Store) locate(st *state, file string) (string, error) {
	if !filepath.IsAbs(file) {
		return "", fmt.Errorf("%w: it is not absolute", store.ErrBadPath)
	}
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", err
	}
	top, err := filepath.EvalSymlinks(s.Path("."))
	if err != nil {
		return "", err
	}
	p, err := filepath.Rel(top, file)
	if err != nil {
		return "", err
	}
	if p == ".." || strings.HasPrefix(p, "../") {
		for running, record := range st.Subvolumes {
			if record.UUID == st.Running {
				return running, nil
			}
		}
		return "", fmt.Errorf("%w: it is not in the fake store", store.ErrUnsupported)
	}
	for st.Subvolumes[p] == nil {
		p = path.Dir(p)
	}
	return p, nil
}

// List implements store.Store.
func (s *Store) List(dir string) (found []store.Subvolume, err error) {
	err = s.view(func(st *state) error {
		if err := store.CheckPath(dir); err != nil {
			return err
		}
		if err := s.checkAbove(path.Join(dir, "x")); err != nil {
			return err
		}
		for _, p := range st.within(dir) {
			if path.Dir(p) == dir {
				found = append(found, st.describe(p))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list subvolumes in %q: %w", dir, err)
	}
	return found, nil
}

// Nested implements store.Store.
func (s *Store) Nested(p string) (found []store.Subvolume, err error) {
	err = s.view(func(st *state) error {
		if _, err := s.lookup(st, p); err != nil {
			return err
		}
		for _, nested := range st.within(p) {
			found = append(found, st.describe(nested))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list subvolumes nested in %q: %w", p, err)
	}
	return found, nil
}

// Create implements store.Store.
func (s *Store) Create(p string) error {
	err := s.update(func(st *state) error {
		if err := s.newPlace(p); err != nil {
			return err
		}
		if err := os.Mkdir(s.Path(p), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(s.Path(p), 0o755); err != nil {
			return err
		}
		fingerprint, err := s.fingerprint(st, p)
		st.add(p, "", false, fingerprint)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot create subvolume %q: %w", p, err)
	}
	return nil
}

// Snapshot implements store.Store.
func (s *Store) Snapshot(src, dst string, readOnly bool) error {
	err := s.update(func(st *state) error {
		from, err := s.lookup(st, src)
		if err != nil {
			return err
		}
		if err := s.newPlace(dst); err != nil {
			return err
		}
		return s.snapshot(st, from, src, dst, readOnly)
	})
	if err != nil {
		return fmt.Errorf("cannot snapshot %q as %q: %w", src, dst, err)
	}
	return nil
}

// SnapshotOver implements store.Store.
func (s *Store) SnapshotOver(src, dst string, readOnly bool) error {
	err := s.update(func(st *state) error {
		if err := store.CheckNewPath(dst); err != nil {
			return err
		}
		from, err := s.lookup(st, src)
		if err != nil {
			return err
		}
		if err := s.checkEmpty(st, dst); err != nil {
			return err
		}
		return s.snapshot(st, from, src, dst, readOnly)
	})
	if err != nil {
		return fmt.Errorf("cannot snapshot %q over %q: %w", src, dst, err)
	}
	return nil
}

// EmptyOver implements store.Store.
func (s *Store) EmptyOver(like, dst string) error {
	err := s.update(func(st *state) error {
		if err := store.CheckNewPath(dst); err != nil {
			return err
		}
		if _, err := s.lookup(st, like); err != nil {
			return err
		}
		if err := s.checkEmpty(st, dst); err != nil {
			return err
		}
		info, err := os.Lstat(s.Path(like))
		if err == nil {
			err = os.Chmod(s.Path(dst), info.Mode())
		}
		if err != nil {
			return err
		}
		fingerprint, err := s.fingerprint(st, dst)
		st.add(dst, "", false, fingerprint)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot make an empty subvolume like %q over %q: %w", like, dst, err)
	}
	return nil
}

// snapshot makes dst, which is missing or an empty directory, a snapshot of from, which
// is at src.
func (s *Store) snapshot(st *state, from *record, src, dst string, readOnly bool) error {
	if from.Busy {
		return store.ErrSwapFile
	}
	fresh := filepath.Join(s.scratch(), "snapshot")
	if err := s.copySubvolume(st, src, fresh); err != nil {
		return errors.Join(err, removeAll(fresh))
	}
	err := os.Remove(s.Path(dst)) // rename(2) would replace it, os.Rename does not
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = os.Rename(fresh, s.Path(dst))
	}
	if err != nil {
		return errors.Join(err, removeAll(fresh))
	}
	fingerprint, err := s.fingerprint(st, dst)
	st.add(dst, from.UUID, readOnly, fingerprint)
	from.Generation = st.Generation
	if err == nil {
		from.Fingerprint, err = s.fingerprint(st, src) // as if dirty data were written first
	}
	return err
}

// SetReadOnly implements store.Store. It is only recorded.
func (s *Store) SetReadOnly(p string, readOnly bool) error {
	err := s.update(func(st *state) error {
		record, err := s.lookup(st, p)
		if err != nil {
			return err
		}
		record.ReadOnly = readOnly
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot set whether %q is read-only: %w", p, err)
	}
	return nil
}

// Rename implements store.Store.
func (s *Store) Rename(p, to string) error {
	err := s.update(func(st *state) error {
		if err := store.CheckNewPath(p); err != nil {
			return err
		}
		if inside(to, p) {
			return fmt.Errorf("%w: %q is inside %q", store.ErrBadPath, to, p)
		}
		record, err := s.lookup(st, p)
		if err != nil {
			return err
		}
		if err := s.newPlace(to); err != nil {
			return err
		}
		if record.ReadOnly && path.Dir(p) != path.Dir(to) {
			return fmt.Errorf("%w: only the last name of its path can change", store.ErrReadOnly)
		}
		if err := os.Rename(s.Path(p), s.Path(to)); err != nil {
			return err
		}
		st.move(p, to)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot rename subvolume %q to %q: %w", p, to, err)
	}
	return nil
}

// Exchange implements store.Store.
func (s *Store) Exchange(p, with string) error {
	err := s.update(func(st *state) error {
		if err := store.CheckExchange(p, with); err != nil {
			return err
		}
		one, err := s.lookup(st, p)
		if err != nil {
			return err
		}
		other, err := s.lookup(st, with)
		if err != nil {
			return err
		}
		if (one.ReadOnly || other.ReadOnly) && path.Dir(p) != path.Dir(with) {
			return fmt.Errorf("%w: only the last name of its path can change", store.ErrReadOnly)
		}
		if err := unix.Renameat2(unix.AT_FDCWD, s.Path(p), unix.AT_FDCWD, s.Path(with), unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		const between = ".exchange"
		st.move(p, between)
		st.move(with, p)
		st.move(between, with)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot exchange subvolume %q with %q: %w", p, with, err)
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(p string) error {
	err := s.update(func(st *state) error {
		if err := store.CheckNewPath(p); err != nil {
			return err
		}
		if _, err := s.lookup(st, p); err != nil {
			return err
		}
		all := append([]string{p}, st.within(p)...)
		for _, each := range all {
			if st.Subvolumes[each].Busy {
				return store.ErrBusy
			}
		}
		for _, each := range slices.Backward(all) {
			if err := removeAll(s.Path(each)); err != nil {
				return err
			}
			delete(st.Subvolumes, each)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot delete subvolume %q: %w", p, err)
	}
	return nil
}

// Changed implements store.Store: nothing or everything may have changed.
func (s *Store) Changed(p string, since uint64) ([]string, error) {
	if sub, err := s.Get(p); err != nil || sub.Generation <= since {
		return nil, err
	}
	nested, err := s.Nested(p)
	if err != nil {
		return nil, err
	}
	var paths []string
	err = filepath.WalkDir(s.Path(p), func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(s.Path(p), file)
		if slices.ContainsFunc(nested, func(n store.Subvolume) bool { return n.Path == path.Join(p, name) }) {
			return fs.SkipDir
		}
		paths = append(paths, name)
		return err
	})
	return paths, err
}

// Sync implements store.Store: it ends the transaction, so that subvolumes
// whose files changed in it get its number.
func (s *Store) Sync() error {
	err := s.update(func(st *state) error {
		st.Generation++
		for p, record := range st.Subvolumes {
			fingerprint, err := s.fingerprint(st, p)
			if err != nil {
				return err
			}
			if fingerprint != record.Fingerprint {
				record.Fingerprint = fingerprint
				record.Generation = st.Generation
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot sync a fake store: %w", err)
	}
	return nil
}
