// Package regular reads files that should be regular and small, but may have become
// something else: a FIFO, on which a read would wait for ever, a device, a link to
// another place, or a file larger than the memory.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// State is the maximum size of a file of apt-be's own state, in bytes: records, init's
// notes and menus have a few KiB.
const State = 16 << 20

var (
	// ErrKind reports that a path is not a regular file.
	ErrKind = errors.New("not a regular file")
	// ErrSize reports that a file exceeds the size limit.
	ErrSize = errors.New("too large")
)

// Open opens the regular file at path, with flags of open(2). The last part of path
// must not be a link. Open never waits, and does not open other types of files: even
// opening may have an effect. The error is a *fs.PathError, also for ErrKind, and
// fs.ErrNotExist if the file is missing.
func Open(path string, flags int) (*os.File, error) {
	fail := func(err error) (*os.File, error) { return nil, &fs.PathError{Op: "open", Path: path, Err: err} }
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fail(err)
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		return fail(fmt.Errorf("%w but %s", ErrKind, kindName(kind)))
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), flags|unix.O_NONBLOCK, 0)
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if err != nil {
		return fail(err)
	}
	return f, nil
}

// ReadFile reads the regular file at path, as Open opens it. The error is ErrSize if
// the file has more than limit bytes; ReadFile never reads more than that.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	info, err := f.Stat()
	large := err == nil && info.Size() > limit
	if err == nil && !large {
		data, err = io.ReadAll(io.LimitReader(f, limit+1)) // the file may grow
	}
	if err == nil && (large || int64(len(data)) > limit) {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrSize, limit)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Reason returns an error without its path, for callers with a better name for the
// file.
func Reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "something else"
}
