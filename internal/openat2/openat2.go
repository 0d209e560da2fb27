// Package openat2 is openat2(2) (Linux 5.6) for paths that somebody else may be
// changing.
package openat2

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Open opens what a path names below a directory. With RESOLVE_BENEATH and
// RESOLVE_IN_ROOT the kernel gives up (EAGAIN) on a ".." if anything in the
// whole system was renamed or mounted at that moment; so it is asked again. It
// says the same of a file with a lease (fcntl(2)), for as long as its holder
// likes, so not for ever.
func Open(dir int, path string, how unix.OpenHow) (fd int, err error) {
	how.Flags |= unix.O_CLOEXEC
	const tries = 1000
	for range tries {
		fd, err = unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}
