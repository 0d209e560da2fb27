// Package openat2 is openat2(2) (Linux 5.6) for paths that somebody else may be
// changing.
package openat2

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens what a path names below a directory. With RESOLVE_BENEATH and
// RESOLVE_IN_ROOT the kernel gives up (EAGAIN) on a ".." if anything in the
// whole system was renamed or mounted at that moment; so it is asked again. It
// says the same of a file with a lease (fcntl(2)), for as long as its holder
// likes, so not for ever.
//
// With RESOLVE_NO_SYMLINKS the path may be longer than the kernel takes one
// (PATH_MAX): every user can make such, directory by directory.
func Open(dir int, path string, how unix.OpenHow) (fd int, err error) {
	how.Flags |= unix.O_CLOEXEC
	if len(path) <= piece || how.Resolve&unix.RESOLVE_NO_SYMLINKS == 0 {
		return open(dir, path, how)
	}
	begin := dir
	for len(path) > piece {
		end := strings.LastIndexByte(path[:piece], '/')
		if end <= 0 {
			break // a name that the kernel refuses
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

// piece is how much of a path the kernel is given at once.
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
