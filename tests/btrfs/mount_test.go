package btrfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/mounts"
)

// TestStoreMountsBesideEachOther keeps a fact that apt-be mount relies on: a
// mount of one subvolume is read-only while one of another is writable, in
// whichever order they come, and neither changes the other.
func TestStoreMountsBesideEachOther(t *testing.T) {
	for _, readOnlyFirst := range []bool{false, true} {
		s, image := newStore(t, storeImageSize)
		storeMust(t, s.Create("@rootfs"))
		storeMust(t, s.Create("@be/a"))
		storeMust(t, s.Create("@be/a/nested"))
		if readOnlyFirst {
			storeMust(t, s.Close()) // it has a writable mount too
		}
		running, look := t.TempDir(), t.TempDir()
		mount := func(subvolume, dir string, readOnly bool) {
			t.Helper()
			storeMust(t, mounts.Mount(image.Device, subvolume, dir, readOnly))
			t.Cleanup(func() { storeMust(t, mounts.Unmount(dir)) })
		}
		if readOnlyFirst {
			mount("@be/a", look, true)
			mount("@rootfs", running, false)
		} else {
			mount("@rootfs", running, false)
			mount("@be/a", look, true)
		}
		storeMust(t, os.WriteFile(filepath.Join(running, "file"), []byte("x"), 0o644))
		for _, name := range []string{"file", "nested/file"} {
			if err := os.WriteFile(filepath.Join(look, name), nil, 0o644); !errors.Is(err, unix.EROFS) {
				t.Errorf("read-only first: %v: writing %s = %v, want EROFS", readOnlyFirst, name, err)
			}
		}
		dirs, err := mounts.Of(image.Device, "@be/a")
		if err != nil || !slices.Equal(dirs, []string{look}) {
			t.Errorf("Of = %q, %v, want %q", dirs, err, look)
		}
	}
}
