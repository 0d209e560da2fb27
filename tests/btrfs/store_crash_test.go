package btrfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// TestStoreRenameIsDurable copies the image at the moment when Rename returns, as a
// power cut would leave it, and examines the copy. The same with a bare rename(2) shows
// that the copy can tell the difference.
func TestStoreRenameIsDurable(t *testing.T) {
	tests := []struct {
		name    string
		to      string
		durable bool
	}{
		{"in its directory", "@be/a", true},
		{"to a new directory", "@new/a", true},
		{"bare rename", "@be/a", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, image := newStore(t, storeImageSize)
			storeMust(t, s.Create("@be/.new-1"))
			storeMust(t, os.WriteFile(s.Path("@be/.new-1/file"), []byte("x"), 0o600))
			storeMust(t, s.Sync())
			if tt.durable {
				storeMust(t, s.Rename("@be/.new-1", tt.to))
			} else {
				storeMust(t, unix.Rename(s.Path("@be/.new-1"), s.Path(tt.to)))
			}
			crashed := filepath.Join(t.TempDir(), "crashed")
			out, err := exec.Command("cp", "--sparse=always", image.File, crashed).CombinedOutput()
			if err != nil {
				t.Fatalf("cannot copy the image: %v\n%s", err, out)
			}
			// The kernel confuses two images with the same file system.
			storeMust(t, s.Close())
			image.Detach(t)

			after := openStore(t, loop.Attach(t, crashed).Device)
			gone, there := "@be/.new-1", tt.to
			if !tt.durable {
				gone, there = there, gone
			}
			if _, err := after.Get(gone); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("after the crash Get(%q) = %v, want ErrNotFound", gone, err)
			}
			if content, err := os.ReadFile(after.Path(there + "/file")); err != nil || string(content) != "x" {
				t.Errorf("after the crash %q holds %q, %v", there, content, err)
			}
		})
	}
}
