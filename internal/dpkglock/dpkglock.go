// Package dpkglock takes the locks of dpkg's database in the same way as apt, so that
// apt and apt-be exclude each other.
package dpkglock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is the directory of dpkg's database in a root.
const Dir = "/var/lib/dpkg"

// BusyError reports that another process holds a lock.
type BusyError struct {
	File    string // the lock file
	PID     int
	Command string // the command of the holder; "" if it has ended or is invisible
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is held by process %d (%s)", e.File, e.PID, e.Command)
}

// Lock holds both locks. fcntl(2) locks belong to the process: closing any other
// descriptor of the same files releases them, so no other code in this program may open
// these files.
type Lock struct{ files []*os.File }

// Take locks lock-frontend, which excludes apt and similar programs, and then lock,
// which excludes dpkg (dpkg(1), apt's FrontendLocking.md). If another process holds one
// of them, the error is a *BusyError. A root without packages has no locks.
func Take(root string) (*Lock, error) {
	l := &Lock{}
	dir := filepath.Join(root, Dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	for _, name := range []string{"lock-frontend", "lock"} {
		if err := l.take(filepath.Join(dir, name)); err != nil {
			l.Release()
			return nil, err
		}
	}
	return l, nil
}

func (l *Lock) take(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return fmt.Errorf("cannot lock dpkg's database: %w", err)
	}
	l.files = append(l.files, f)
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("cannot lock %s: %w", path, err)
	}
	busy := &BusyError{File: path}
	holder := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &holder) == nil && holder.Type != unix.F_UNLCK {
		busy.PID = int(holder.Pid)
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", holder.Pid)); err == nil {
			busy.Command = strings.TrimSpace(string(comm))
		}
	}
	return busy
}

// Release releases the locks.
func (l *Lock) Release() {
	for _, f := range l.files {
		f.Close()
	}
	l.files = nil
}
