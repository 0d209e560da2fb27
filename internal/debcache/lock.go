package debcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockCache takes apt's lock of its cache, and waits at most for patience. The lock
// belongs to the file descriptor, unlike apt's own, which belongs to the process; each
// excludes the other.
func lockCache(cache *os.File, patience time.Duration) (*os.File, error) {
	const name = "lock"
	fd, err := unix.Openat(int(cache.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: cache.Name() + "/" + name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lock)
		if err == nil {
			return f, nil
		}
		busy := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)
		if !busy || time.Now().After(end) {
			f.Close()
			if busy {
				err = errors.New("another apt uses it")
			}
			return nil, fmt.Errorf("cannot lock %s: %w", cache.Name(), err)
		}
	}
}
