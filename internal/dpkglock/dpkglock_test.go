package dpkglock

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTakeInARoot checks that Take locks a root with packages, and creates nothing in a
// root without.
func TestTakeInARoot(t *testing.T) {
	root := t.TempDir()
	for _, packages := range []bool{false, true} {
		if packages {
			if err := os.MkdirAll(filepath.Join(root, Dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		lock, err := Take(root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(root, Dir, "lock-frontend")); (err == nil) != packages {
			t.Errorf("with packages: %v, and the lock is there: %v", packages, err)
		}
		lock.Release()
	}
}
