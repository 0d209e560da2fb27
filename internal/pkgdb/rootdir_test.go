package pkgdb

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A package's script can replace a directory by anything. A FIFO at /boot once blocked
// a reader for ever.
func TestNamesOfSpecialFile(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "a"} {
		if err := os.MkdirAll(filepath.Join(dir, "boot", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := openRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.close()
	if names, err := root.names("fifo"); err == nil {
		t.Errorf("a FIFO has the names %q", names)
	}
	if names, err := root.names("none"); err != nil || len(names) > 0 {
		t.Errorf("what isn't there has %q, %v", names, err)
	}
	if names, err := root.names("boot"); err != nil || len(names) != 2 || names[0] != "a" {
		t.Errorf("boot has %q, %v", names, err)
	}
}
