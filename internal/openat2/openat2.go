// Package openat2 calls openat2(2) (Linux 5.6) for paths that other processes may be
// changing.
package openat2

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens a path below a directory. With RESOLVE_BENEATH and RESOLVE_IN_ROOT the
// kernel fails with EAGAIN at a ".." if any rename or mount of the whole system
// happened at that moment, so Open tries again. The kernel returns the same error for a
// file with a lease (fcntl(2)) for as long as its holder wants, so Open does not try
// for ever.
//
// With RESOLVE_NO_SYMLINKS the path may exceed PATH_MAX: every user can create such
// paths, directory by directory.
func Open(dir int, path string, how unix.OpenHow) (fd int, err error) {
	how.Flags |= unix.O_CLOEXEC
	if len(path) <= piece || how.Resolve&unix.RESOLVE_NO_SYMLINKS == 0 {
		return open(dir, path, how)
	}
	begin := dir
	for len(path) > piece {
		end := strings.LastIndexByte(path[:piece], '/')
		if end <= 0 {
			break // the kernel refuses the name
		}
		next, err := open(dir, path[:end], unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
			Resolve: how.Resolve,
		})
		if dir != begin {
			unix.Close(dir)
		}
		if err != nil {
			return -1, err
		}
		dir, path = next, path[end+1:]
	}
	fd, err = open(dir, path, how)
	if dir != begin {
		unix.Close(dir)
	}
	return fd, err
}

// piece is the maximum length of a path in one call.
const piece = unix.PathMax - 1

func open(dir int, path string, how unix.OpenHow) (fd int, err error) {
	const tries = 1000
	for range tries {
		fd, err = unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}
