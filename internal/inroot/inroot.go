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

	"golang.org/x/sys/unix"
)

// limit is the size of the largest file that is read, in bytes: those that are
// edited are configuration.
const limit = 16 << 20

// openDir opens the directory that path is inside root.
func openDir(root, path string) (*os.File, error) {
	rootFD, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootFD)
	fd, err := unix.Openat2(rootFD, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Open opens a regular file to read it, however large, also by links, which
// stay inside root. An error is fs.ErrNotExist where it should be.
func Open(root, path string) (*os.File, error) {
	rootFD, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootFD)
	fd, err := unix.Openat2(rootFD, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, // not to wait for the writer of a FIFO
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("cannot read %s: it is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a regular file, whose last part may not be a link. An error
// is fs.ErrNotExist where it should be.
func ReadFile(root, path string) ([]byte, error) {
	data, _, err := read(root, path)
	return data, err
}

func read(root, path string) ([]byte, fs.FileInfo, error) {
	dir, err := openDir(root, filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: errors.Unwrap(err)}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("cannot read %s: it is no regular file", path)
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
	dir, err := openDir(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := replace(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), filepath.Base(path), data, info); err != nil {
		return fmt.Errorf("cannot edit %s: %w", path, err)
	}
	return dir.Sync()
}

func replace(dir, name string, data []byte, like fs.FileInfo) error {
	f, err := os.CreateTemp(dir, "."+name+".apt-be-*")
	if err != nil {
		return err
	}
	var st unix.Stat_t
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(like.Mode().Perm())
	}
	if err == nil {
		err = unix.Stat(filepath.Join(dir, name), &st)
	}
	if err == nil {
		err = f.Chown(int(st.Uid), int(st.Gid))
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
