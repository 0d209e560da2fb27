//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Locate implements store.Store. It follows symbolic links. The error is ErrNotFound if
// the file's subvolume is deleted, but still mounted.
func (s *Store) Locate(file string) (store.Subvolume, error) {
	found, err := s.locate(file)
	if err != nil {
		return store.Subvolume{}, fmt.Errorf("cannot find the subvolume of %q: %w", file, err)
	}
	return found, nil
}

func (s *Store) locate(file string) (store.Subvolume, error) {
	if !filepath.IsAbs(file) {
		return store.Subvolume{}, fmt.Errorf("%w: it is not absolute", store.ErrBadPath)
	}
	f, err := openForIoctl(file)
	if err != nil {
		return store.Subvolume{}, err
	}
	defer f.Close()
	if err := s.checkSame(f); err != nil {
		return store.Subvolume{}, err
	}
	found, err := subvolumeOf(f)
	if errors.Is(err, unix.ENOENT) {
		return store.Subvolume{}, fmt.Errorf("%w: it is deleted", store.ErrNotFound)
	}
	if err != nil {
		return store.Subvolume{}, err
	}
	found.Path, err = pathOf(s.top, found.ID)
	return found, err
}

// openForIoctl opens a regular file or a directory. For another type, whose opening
// could block or have an effect, it opens the directory above.
func openForIoctl(file string) (*os.File, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Mode().IsRegular() {
		return os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return nil, err
	}
	dir, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	// Each subvolume has a device number of its own, and a mount over a single file has
	// another one.
	if deviceNumber(dir) != deviceNumber(info) {
		return nil, fmt.Errorf("%w: a special file is mounted there", store.ErrUnsupported)
	}
	return os.Open(filepath.Dir(file))
}

func deviceNumber(info os.FileInfo) uint64 {
	return uint64(info.Sys().(*syscall.Stat_t).Dev)
}

// checkSame returns ErrUnsupported unless f is on the store's file system.
func (s *Store) checkSame(f *os.File) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if stat.Type != unix.BTRFS_SUPER_MAGIC {
		return fmt.Errorf("%w: it is not on btrfs", store.ErrUnsupported)
	}
	fsid, err := fileSystemID(f)
	if err != nil {
		return err
	}
	if fsid != s.fsid {
		return fmt.Errorf("%w: it is on another btrfs than %s", store.ErrUnsupported, s.device)
	}
	return nil
}
