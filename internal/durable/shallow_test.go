package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRemoveAllDeep removes directories that are nested more deeply than a process can
// open files.
func TestRemoveAllDeep(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(t.TempDir(), "top")
	if err := os.MkdirAll(filepath.Join(top, ".apt-be-deep-2"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := unix.Open(top, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		for _, name := range []string{"d", fmt.Sprint("beside", n)} {
			if err := unix.Mkdirat(dir, name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		next, err := unix.Openat(dir, "d", unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		dir = next
	}
	unix.Close(dir)
	if err := RemoveAll(top); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(top); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
