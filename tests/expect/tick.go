package expect

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// NextTick blocks until a change of a file gets a later time than every change
// before the call. The kernel's clock for files advances by up to 10 ms at a time.
func NextTick(t testing.TB) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tick")
	changed := func() time.Time {
		err := os.WriteFile(file, []byte("x"), 0o600)
		info, statErr := os.Stat(file)
		if err != nil || statErr != nil {
			t.Fatalf("cannot read the kernel's clock: %v, %v", err, statErr)
		}
		return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
	}
	first := changed()
	if !Until(time.Minute, func() bool { return changed().After(first) }) {
		t.Fatal("the kernel's clock for files stands still")
	}
}
