// Package inroot reads and edits files of a root file system that is not the
// running one. The links in it are followed as a process would that has it
// for its root (openat2(2), Linux 5.6), so none leads into the running system.
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

// limit is the size of the largest file that is read, in bytes: those that are
// edited are configuration.
const limit = 16 << 20

// open opens what path is inside root.
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

// OpenDir opens a directory, also by links, which stay inside root. Its
// descriptor leads there whatever becomes of the path.
func OpenDir(root, path string) (*os.File, error) {
	return open(root, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

// Open opens a regular file to read it, however large, also by links, which
// stay inside root. An error is fs.ErrNotExist where it should be.
func Open(root, path string) (*os.File, error) {
	return openFile(root, path, 0)
}

func openFile(root, path string, flags uint64) (*os.File, error) {
	f, err := open(root, path, unix.O_RDONLY|unix.O_NONBLOCK|flags) // not to wait for the writer of a FIFO
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

// Lstat is what path is inside root, a link if its last part is one.
func Lstat(root, path string) (fs.FileInfo, error) {
	f, err := open(root, path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Chmod gives a regular file, whose last part may not be a link, a mode.
func Chmod(root, path string, mode fs.FileMode) error {
	f, err := openFile(root, path, unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(mode)
}

// ReadFile reads a regular file, whose last part may not be a link. An error
// is fs.ErrNotExist where it should be.
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

// Edit replaces the content of a regular file by what change makes of it, and
// keeps its owner and mode. A file that isn't there is left so.
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

// EditOrMake is Edit, but a file that isn't there counts as an empty one, and
// one that is empty afterwards is removed. A new one is for all to read, and
// so are the directories above it that are missing.
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

// makeDir opens a directory inside root, and makes it and those above it if
// they are not there.
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

// replace writes the file that path names in a directory; like is the one that
// is there, if any.
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
