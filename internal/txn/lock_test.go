package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/txn"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "lock")
	first, err := txn.TakeLock(ctx, path)
	check(t, err)
	now, cancel := context.WithCancel(ctx)
	cancel()
	_, err = txn.TakeLock(now, path)
	var held *txn.HeldError
	if !errors.As(err, &held) {
		t.Fatalf("TakeLock of a held lock = %v, want a HeldError", err)
	}
	if want := fmt.Sprintf("process %d (%s", os.Getpid(), os.Args[0]); !contains(held, want) || !contains(held, ") is at work") {
		t.Errorf("the error is %q, want one with %q", held, want)
	}
	first.Release()
	second, err := txn.TakeLock(now, path) // the lock is free, so there is no wait
	check(t, err)
	second.Release()
}

func TestLockNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "lock", dir)
	now, cancel := context.WithCancel(ctx)
	cancel()
	_, err := txn.TakeLock(now, filepath.Join(dir, "lock"))
	if want := fmt.Sprintf("process %d (", c.cmd.Process.Pid); !contains(err, want) {
		t.Errorf("TakeLock = %v, want one that names %q", err, want)
	}
	c.kill(t)
	lock, err := txn.TakeLock(ctx, filepath.Join(dir, "lock"))
	check(t, err)
	lock.Release()
}

// waiter is a context that calls waits when TakeLock first waits for it.
type waiter struct {
	context.Context
	waits  func()
	called bool
}

func (w *waiter) Done() <-chan struct{} {
	if !w.called {
		w.called = true
		w.waits()
	}
	return w.Context.Done()
}

func TestLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := txn.TakeLock(ctx, path)
	check(t, err)
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	waits := &waiter{Context: soon, waits: first.Release}
	second, err := txn.TakeLock(waits, path)
	check(t, err)
	second.Release()
	if !waits.called {
		t.Error("TakeLock took the lock while it was held")
	}
}

func TestLockIsInherited(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	lock, err := txn.TakeLock(ctx, path)
	check(t, err)
	c := startChild(t, "hold", dir, lock.File())
	lock.Release()
	now, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := txn.TakeLock(now, path); err == nil {
		t.Error("the lock is free although a child has inherited it")
	}
	c.kill(t)
	lock, err = txn.TakeLock(now, path)
	check(t, err)
	lock.Release()
}

func TestLockFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o644))
	if _, err := txn.TakeLock(ctx, filepath.Join(file, "lock")); !contains(err, "cannot take a lock") {
		t.Errorf("TakeLock below a file = %v", err)
	}
	if _, err := txn.TakeLock(ctx, filepath.Dir(file)); !contains(err, "cannot take a lock") {
		t.Errorf("TakeLock of a directory = %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "lock")
	check(t, unix.Mkfifo(fifo, 0o600))
	if _, err := txn.TakeLock(ctx, fifo); !contains(err, "a FIFO") {
		t.Errorf("TakeLock of a FIFO = %v", err)
	}
	if says := (&txn.HeldError{}).Error(); says != "another process is at work" {
		t.Errorf("without a holder the error says %q", says)
	}
}
