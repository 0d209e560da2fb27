package txn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/regular"
)

// HeldError reports which process holds a lock.
type HeldError struct {
	Holder string // such as "process 4711 (apt-be destroy old)"
}

func (e *HeldError) Error() string {
	if e.Holder == "" {
		return "another process is at work"
	}
	return e.Holder + " is at work"
}

// Lock is a flock(2) that this process holds on a file.
type Lock struct{ file *os.File }

// TakeLock takes the flock(2) of the file at path, and waits for it until ctx ends;
// then the error is a *HeldError. The file stays, and names the holder.
func TakeLock(ctx context.Context, path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot take a lock: %w", err)
	}
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("cannot take a lock: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			holder, _ := io.ReadAll(io.LimitReader(f, 1<<10))
			f.Close()
			return nil, &HeldError{Holder: strings.TrimSpace(string(holder))}
		case <-time.After(50 * time.Millisecond):
		}
	}
	// The content is only information; the lock does not depend on it.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(fmt.Sprintf("process %d (%s)\n", os.Getpid(), strings.Join(os.Args, " "))), 0)
	return &Lock{f}, nil
}

// openLock opens or creates the file at path. It does not wait for the lock; the
// holder's name is read later.
func openLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			if f, err = regular.Open(path, os.O_RDWR); errors.Is(err, os.ErrNotExist) {
				continue // the file was removed in between
			}
		}
		return f, err
	}
}

// File returns the locked file. A child process that inherits it shares the lock.
func (l *Lock) File() *os.File { return l.file }

// Release releases the lock.
func (l *Lock) Release() { l.file.Close() }
