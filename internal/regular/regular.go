// Package regular reads files that should be regular ones of a modest size, and
// may be anything by now: a FIFO, which would be waited for without end, a
// device, a link to somewhere else, or more than there is memory for.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// State is the size of the largest file of apt-be's own state that is read, in
// bytes: the records, what init noted, menus and the like have a few KiB.
const State = 16 << 20

var (
	// ErrKind says that what is at a path is no regular file.
	ErrKind = errors.New("not a regular file")
	// ErrSize says that a file is larger than what it should hold ever is.
	ErrSize = errors.New("too large")
)

// Open opens the regular file at path, whose last part may not be a link, with
// flags as of open(2). It never waits, and does not open what is no regular
// file: even that may have an effect. An error is a *fs.PathError, also of
// ErrKind, and fs.ErrNotExist where it should be.
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

// ReadFile reads the regular file at path, as Open opens it: ErrSize if it is
// larger than limit bytes, of which no more are read.
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
		data, err = io.ReadAll(io.LimitReader(f, limit+1)) // it may grow
	}
	if err == nil && (large || int64(len(data)) > limit) {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrSize, limit)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Reason is what an error says besides the path, which a caller may have a better
// name for.
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
