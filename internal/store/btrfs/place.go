//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	containerd "github.com/containerd/btrfs/v2"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/openat2"
	"github.com/apt-be/apt-be/internal/store"
)

// place is a name in an open directory: the place of an existing or future subvolume.
// It stays the same whatever happens to its path.
type place struct {
	dir  *os.File
	name string
}

// openAt opens p below dir. The error is ELOOP if a symbolic link is in it or at its
// end (where O_NOFOLLOW with O_DIRECTORY would return ENOTDIR).
func openAt(dir *os.File, p string, flags int) (*os.File, error) {
	fd, err := openat2.Open(int(dir.Fd()), p, unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "openat2", Path: p, Err: err}
	}
	return os.NewFile(uintptr(fd), p), nil
}

// openDirectory opens directory p of the store. The errors are ErrNotFound, and
// ErrBadPath if a symbolic link is in p.
func (s *Store) openDirectory(p string) (*os.File, error) {
	f, err := openAt(s.top, p, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return nil, store.ErrNotFound
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: a symbolic link is in it", store.ErrBadPath)
	}
	return f, err
}

// place opens the directory above p: ErrBadPath, ErrNotFound.
func (s *Store) place(p string) (*place, error) {
	if err := store.CheckPath(p); err != nil {
		return nil, err
	}
	dir, err := s.openDirectory(path.Dir(p))
	if err != nil {
		return nil, err
	}
	return &place{dir, path.Base(p)}, nil
}

// newPlace is place for a new entry: it creates the missing directories above. The
// errors are ErrExists if the place is taken, and ErrBadPath if one of the parents is
// not a directory.
func (s *Store) newPlace(p string) (*place, error) {
	if err := store.CheckNewPath(p); err != nil {
		return nil, err
	}
	dir, err := openAt(s.top, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(path.Dir(p), "/") {
		next, err := makeDirectory(dir, name)
		dir.Close()
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil, fmt.Errorf("%w: %q in it is not a directory", store.ErrBadPath, name)
		}
		if err != nil {
			return nil, err
		}
		dir = next
	}
	at := &place{dir, path.Base(p)}
	var stat unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), at.name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return at, nil
	}
	at.close()
	if err != nil {
		return nil, &fs.PathError{Op: "fstatat", Path: p, Err: err}
	}
	return nil, store.ErrExists
}

// makeDirectory opens directory name in dir, and creates it if it is missing.
func makeDirectory(dir *os.File, name string) (*os.File, error) {
	f, err := openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	err = unix.Mkdirat(int(dir.Fd()), name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdirat", Path: name, Err: err}
	}
	return openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// path returns the absolute path of the place.
func (at *place) path() string {
	if at.name == "." {
		return procPath(at.dir)
	}
	return procPath(at.dir) + "/" + at.name
}

// check returns nil if a subvolume is at the place: ErrNotFound, ErrNotSubvolume.
func (at *place) check() error {
	if at.name == "." {
		return nil // only the top level has this name
	}
	err := containerd.IsSubvolume(at.path())
	var failed *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return store.ErrNotFound
	case errors.As(err, &failed):
		return err
	case err != nil:
		return store.ErrNotSubvolume
	}
	return nil
}

// open opens the root directory of the subvolume at the place.
func (at *place) open() (*os.File, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
	f, err := openAt(at.dir, at.name, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, store.ErrNotFound
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, store.ErrNotSubvolume
	case err != nil:
		return nil, err
	}
	// The owner of the directory can have replaced it meanwhile. Given a plain
	// directory, old kernels make a snapshot of its whole subvolume.
	if err := containerd.IsSubvolume(procPath(f) + "/."); err != nil {
		f.Close()
		return nil, store.ErrNotSubvolume
	}
	return f, nil
}

// removeEmpty removes the empty directory at the place: ErrNotFound, or ErrExists for
// anything else. It follows no link and deletes no subvolume; rmdir(2) deletes empty
// ones since Linux 4.18.
func (at *place) removeEmpty() error {
	switch err := at.check(); {
	case err == nil:
		return fmt.Errorf("%w: it is a subvolume", store.ErrExists)
	case !errors.Is(err, store.ErrNotSubvolume):
		return err
	}
	err := unix.Unlinkat(int(at.dir.Fd()), at.name, unix.AT_REMOVEDIR)
	switch {
	case errors.Is(err, unix.ENOENT):
		return store.ErrNotFound
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENOTEMPTY):
		return fmt.Errorf("%w: it is not an empty directory", store.ErrExists)
	case err != nil:
		return &fs.PathError{Op: "unlinkat", Path: at.name, Err: err}
	}
	return nil
}

func (at *place) close() { at.dir.Close() }
