// Package inroot reads and edits files of a root file system that is not the running
// one. It follows links as a process with that root would (openat2(2), Linux 5.6), so
// no link leads into the running system.
package inroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/openat2"
)

// limit is the maximum size of a file to read, in bytes: edited files are
// configuration.
const limit = 16 << 20

// open opens a path inside root.
func open(root, path string, flags uint64) (*os.File, error) {
	rootFD, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootFD)
	fd, err := openat2.Open(rootFD, path, unix.OpenHow{
		Flags:   flags,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenDir opens a directory and follows links, which stay inside root. The descriptor
// stays valid if the path changes.
func OpenDir(root, path string) (*os.File, error) {
	return open(root, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

// Open opens a regular file of any size for reading and follows links, which stay
// inside root. The error is fs.ErrNotExist if the file is missing.
func Open(root, path string) (*os.File, error) {
	return openFile(root, path, 0)
}

func openFile(root, path string, flags uint64) (*os.File, error) {
	f, err := open(root, path, unix.O_RDONLY|unix.O_NONBLOCK|flags) // O_NONBLOCK: do not wait for the writer of a FIFO
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("cannot read %s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Lstat describes a path inside root, without following a link as its last part.
func Lstat(root, path string) (fs.FileInfo, error) {
	f, err := open(root, path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Chmod sets the mode of a regular file. The last part of path must not be a link.
func Chmod(root, path string, mode fs.FileMode) error {
	f, err := openFile(root, path, unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(mode)
}

// ReadFile reads a regular file. The last part of path must not be a link. The error is
// fs.ErrNotExist if the file is missing.
func ReadFile(root, path string) ([]byte, error) {
	data, _, err := read(root, path)
	return data, err
}

func read(root, path string) ([]byte, fs.FileInfo, error) {
	f, err := openFile(root, path, unix.O_NOFOLLOW)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > limit {
		return nil, nil, fmt.Errorf("cannot read %s: it is larger than %d MiB", path, limit>>20)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, info, err
}

// Edit replaces the content of a regular file by the result of change, and keeps its
// owner and mode. It does nothing if the file is missing.
func Edit(root, path string, change func(old []byte) (new []byte, changed bool, err error)) error {
	old, info, err := read(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	data, changed, err := change(old)
	if err != nil || !changed {
		return err
	}
	dir, err := OpenDir(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return replace(dir, path, data, info)
}

// EditOrMake is like Edit, but treats a missing file as empty, and removes the file if
// the new content is empty. A new file is readable by all users, like the missing
// directories above it.
func EditOrMake(root, path string, change func(old []byte) (new []byte, changed bool, err error)) error {
	old, info, err := read(root, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, changed, err := change(old)
	if err != nil || !changed {
		return err
	}
	dir, err := makeDir(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if len(data) > 0 {
		return replace(dir, path, data, info)
	}
	if err := unix.Unlinkat(int(dir.Fd()), filepath.Base(path), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "unlink", Path: path, Err: err}
	}
	return dir.Sync()
}

// makeDir opens a directory inside root, and creates it and those above it if they are
// missing.
func makeDir(root, path string) (*os.File, error) {
	dir, err := OpenDir(root, path)
	if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path {
		return dir, err
	}
	above, err := makeDir(root, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := unix.Mkdirat(int(above.Fd()), filepath.Base(path), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	if err := above.Sync(); err != nil {
		return nil, err
	}
	return OpenDir(root, path)
}

// replace writes the file at path in a directory; like is the existing file, or nil.
func replace(dir *os.File, path string, data []byte, like fs.FileInfo) error {
	err := replaceIn(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), filepath.Base(path), data, like)
	if err != nil {
		return fmt.Errorf("cannot edit %s: %w", path, err)
	}
	return dir.Sync()
}

func replaceIn(dir, name string, data []byte, like fs.FileInfo) error {
	f, err := os.CreateTemp(dir, "."+name+".apt-be-*")
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if like != nil {
		mode = like.Mode().Perm()
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if old, ok := ownerOf(like); err == nil && ok {
		err = f.Chown(int(old.Uid), int(old.Gid))
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func ownerOf(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
