package storetest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Survive calls a function on a store below a directory, until it returns or panics
// with that fault. Then it releases the locks that a dead process would have released.
func Survive(t testing.TB, dir string, fault error, do func() error) (died bool, err error) {
	t.Helper()
	defer func() {
		switch r := recover(); r {
		case nil:
		case fault:
			died = true
			dropLocks(t, dir)
		default:
			panic(r)
		}
	}()
	return false, do()
}

// dropLocks releases all locks of this process on files below dir.
func dropLocks(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		if err != nil || !strings.HasPrefix(target, dir+"/") {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err == nil {
			err = unix.Flock(fd, unix.LOCK_UN)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
