//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	containerd "github.com/containerd/btrfs/v2"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
)

// Get implements store.Store.
func (s *Store) Get(p string) (store.Subvolume, error) {
	found, err := s.get(p)
	if err != nil {
		return store.Subvolume{}, fmt.Errorf("cannot read subvolume %q: %w", p, err)
	}
	return found, nil
}

func (s *Store) get(p string) (store.Subvolume, error) {
	f, err := s.openSubvolume(p)
	if err != nil {
		return store.Subvolume{}, err
	}
	defer f.Close()
	found, err := subvolumeOf(f)
	found.Path = p
	return found, err
}

// openSubvolume opens the root directory of the subvolume at p.
func (s *Store) openSubvolume(p string) (*os.File, error) {
	at, err := s.place(p)
	if err != nil {
		return nil, err
	}
	defer at.close()
	return at.open()
}

// List implements store.Store.
func (s *Store) List(dir string) ([]store.Subvolume, error) {
	found, err := s.list(dir)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list subvolumes in %q: %w", dir, err)
	}
	return found, nil
}

func (s *Store) list(dir string) ([]store.Subvolume, error) {
	if err := store.CheckPath(dir); err != nil {
		return nil, err
	}
	f, err := s.openDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := os.ReadDir(procPath(f))
	if err != nil {
		return nil, err
	}
	var found []store.Subvolume
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		subvolume, err := s.get(path.Join(dir, entry.Name()))
		if errors.Is(err, store.ErrNotSubvolume) || errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, subvolume)
	}
	return found, nil
}

// Create implements store.Store.
func (s *Store) Create(p string) error {
	if err := s.create(p); err != nil {
		return fmt.Errorf("cannot create subvolume %q: %w", p, err)
	}
	return nil
}

func (s *Store) create(p string) error {
	at, err := s.newPlace(p)
	if err != nil {
		return err
	}
	defer at.close()
	if err := containerd.SubvolCreate(at.path()); err != nil {
		return sentinel(err)
	}
	// mkdir applied the umask, and every user must be able to enter a root directory.
	return os.Chmod(at.path(), 0o755)
}

// Snapshot implements store.Store. The kernel writes out src's dirty data and commits
// the transaction before it returns.
func (s *Store) Snapshot(src, dst string, readOnly bool) error {
	if err := s.snapshot(src, dst, readOnly); err != nil {
		return fmt.Errorf("cannot snapshot %q as %q: %w", src, dst, err)
	}
	return nil
}

func (s *Store) snapshot(src, dst string, readOnly bool) error {
	from, err := s.openSubvolume(src)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := s.newPlace(dst)
	if err != nil {
		return err
	}
	defer to.close()
	return s.inUse(from, sentinel(containerd.SubvolSnapshot(to.path(), procPath(from), readOnly)))
}

// inUse adds the active swap files of f's subvolume to an ErrSwapFile.
func (s *Store) inUse(f *os.File, err error) error {
	if !errors.Is(err, store.ErrSwapFile) {
		return err
	}
	here, infoErr := subvolumeOf(f)
	if infoErr != nil {
		return err
	}
	files, _ := swapfile.Active()
	files = slices.DeleteFunc(files, func(file string) bool {
		there, err := s.locate(file)
		return err != nil || there.ID != here.ID
	})
	if len(files) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.Join(files, ", "))
}

// SnapshotOver implements store.Store.
func (s *Store) SnapshotOver(src, dst string, readOnly bool) error {
	if err := s.snapshotOver(src, dst, readOnly); err != nil {
		return fmt.Errorf("cannot snapshot %q over %q: %w", src, dst, err)
	}
	return nil
}

func (s *Store) snapshotOver(src, dst string, readOnly bool) error {
	if err := store.CheckNewPath(dst); err != nil {
		return err
	}
	from, err := s.openSubvolume(src)
	if err != nil {
		return err
	}
	defer from.Close()
	return s.over(dst, func(to *place) error {
		return s.inUse(from, sentinel(containerd.SubvolSnapshot(to.path(), procPath(from), readOnly)))
	})
}

// over calls do to create a subvolume in place of an empty directory.
func (s *Store) over(dst string, do func(*place) error) error {
	to, err := s.place(dst)
	if err != nil {
		return err
	}
	defer to.close()
	lock, err := unlock(to.dir)
	if err != nil {
		return err
	}
	err = to.removeEmpty()
	if err == nil {
		if err = do(to); err != nil {
			// After an error, the place must have a directory again.
			_ = unix.Mkdirat(int(to.dir.Fd()), to.name, 0o755)
		}
	}
	return errors.Join(err, lock())
}

// EmptyOver implements store.Store.
func (s *Store) EmptyOver(like, dst string) error {
	if err := s.emptyOver(like, dst); err != nil {
		return fmt.Errorf("cannot make an empty subvolume like %q over %q: %w", like, dst, err)
	}
	return nil
}

func (s *Store) emptyOver(like, dst string) error {
	if err := store.CheckNewPath(dst); err != nil {
		return err
	}
	from, err := s.openSubvolume(like)
	if err != nil {
		return err
	}
	defer from.Close()
	return s.over(dst, func(to *place) error {
		if err := containerd.SubvolCreate(to.path()); err != nil {
			return sentinel(err)
		}
		fresh, err := to.open()
		if err != nil {
			return err
		}
		defer fresh.Close()
		if err := dressLike(from, fresh); err != nil {
			return errors.Join(err, destroy(to.dir, to.name))
		}
		return nil
	})
}

// dressLike gives a directory the owner, mode and attributes of another one.
func dressLike(like, dir *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(like.Fd()), &stat); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := dir.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dir.Fd()), stat.Mode&0o7777); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	flags, err := fileFlags(like)
	if err != nil || flags&inherited == 0 {
		return err
	}
	return setFileFlags(dir, flags&inherited)
}

// SetReadOnly implements store.Store. The kernel refuses to make a subvolume writable
// during a send: ErrBusy.
func (s *Store) SetReadOnly(p string, readOnly bool) error {
	if err := s.setReadOnly(p, readOnly); err != nil {
		return fmt.Errorf("cannot change whether %q is read-only: %w", p, err)
	}
	return nil
}

func (s *Store) setReadOnly(p string, readOnly bool) error {
	f, err := s.openSubvolume(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return sentinel(setReadOnly(f, readOnly))
}

// Rename implements store.Store.
func (s *Store) Rename(p, to string) error {
	if err := s.rename(p, to); err != nil {
		return fmt.Errorf("cannot rename subvolume %q to %q: %w", p, to, err)
	}
	return nil
}

func (s *Store) rename(p, to string) error {
	if err := store.CheckNewPath(p); err != nil {
		return err
	}
	if strings.HasPrefix(to, p+"/") {
		return fmt.Errorf("%w: %q is inside %q", store.ErrBadPath, to, p)
	}
	from, err := s.place(p)
	if err != nil {
		return err
	}
	defer from.close()
	if err := from.check(); err != nil {
		return err
	}
	dst, err := s.newPlace(to)
	if err != nil {
		return err
	}
	defer dst.close()
	if err := s.checkMovable(p, to); err != nil {
		return err
	}
	err = unlocked(func() error {
		return unix.Renameat2(int(from.dir.Fd()), from.name, int(dst.dir.Fd()), dst.name, unix.RENAME_NOREPLACE)
	}, from)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: only the last name of its path can change", store.ErrReadOnly)
	}
	if err != nil {
		return sentinel(os.NewSyscallError("renameat2", err))
	}
	// The rename of a subvolume cannot go to the log tree, so btrfs marks its
	// transaction (btrfs_set_log_full_commit in btrfs_rename): until that is committed,
	// every fsync commits the whole transaction, with both directory entries, and
	// returns the commit's error. Unlike syncfs, it does not write out other dirty data
	// of the file system.
	return errors.Join(dst.dir.Sync(), from.dir.Sync())
}

// checkMovable returns ErrReadOnly if a subvolume cannot be moved to a path. The kernel
// checks this too, but not for one that was made writable to unlock it.
func (s *Store) checkMovable(p, to string) error {
	info, err := s.get(p)
	if err == nil && info.ReadOnly && path.Dir(p) != path.Dir(to) {
		err = fmt.Errorf("%w: only the last name of its path can change", store.ErrReadOnly)
	}
	return err
}

// Exchange implements store.Store (RENAME_EXCHANGE).
func (s *Store) Exchange(p, with string) error {
	if err := s.exchange(p, with); err != nil {
		return fmt.Errorf("cannot exchange subvolume %q with %q: %w", p, with, err)
	}
	return nil
}

func (s *Store) exchange(p, with string) error {
	if err := store.CheckExchange(p, with); err != nil {
		return err
	}
	var places [2]*place
	for i, name := range []string{p, with} {
		at, err := s.place(name)
		if err != nil {
			return err
		}
		defer at.close()
		if err := at.check(); err != nil {
			return err
		}
		places[i] = at
	}
	one, other := places[0], places[1]
	if err := errors.Join(s.checkMovable(p, with), s.checkMovable(with, p)); err != nil {
		return err
	}
	err := unlocked(func() error {
		return unix.Renameat2(int(one.dir.Fd()), one.name, int(other.dir.Fd()), other.name, unix.RENAME_EXCHANGE)
	}, one, other)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: only the last name of its path can change", store.ErrReadOnly)
	}
	if err != nil {
		return sentinel(os.NewSyscallError("renameat2", err))
	}
	return errors.Join(other.dir.Sync(), one.dir.Sync()) // as after a rename
}

// sentinel returns the error of package store for one of the kernel.
func sentinel(err error) error {
	switch {
	case errors.Is(err, unix.EEXIST):
		return store.ErrExists
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	case errors.Is(err, unix.ETXTBSY):
		return store.ErrSwapFile
	case errors.Is(err, unix.EPERM) && unix.Geteuid() == 0:
		// The kernel gives root no more detail than this.
		return fmt.Errorf("%w: a swap file in it is active, it is being sent, it is the default subvolume, or its directory is immutable",
			store.ErrBusy)
	}
	return err
}
