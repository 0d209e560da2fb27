package btrfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/mounts"
)

// TestStoreMountsReadOnlyAndWritable checks a property of the kernel that apt-be mount
// needs: one subvolume can be mounted read-only while another one is mounted writable,
// in either order, without effect on each other.
func TestStoreMountsReadOnlyAndWritable(t *testing.T) {
	for _, readOnlyFirst := range []bool{false, true} {
		s, image := newStore(t, storeImageSize)
		storeMust(t, s.Create("@rootfs"))
		storeMust(t, s.Create("@be/a"))
		storeMust(t, s.Create("@be/a/nested"))
		if readOnlyFirst {
			storeMust(t, s.Close()) // it also has a writable mount
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

// TestMountIgnoresSetuidAndDevices checks that a user gains no privileges by a setuid
// program of a mounted environment, and cannot open a device node in it.
func TestMountIgnoresSetuidAndDevices(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@be/a"))
	id, err := os.ReadFile("/usr/bin/id")
	storeMust(t, err)
	storeMust(t, os.WriteFile(s.Path("@be/a/id"), id, 0o755))
	storeMust(t, os.Chmod(s.Path("@be/a/id"), os.ModeSetuid|0o755))
	storeMust(t, unix.Mknod(s.Path("@be/a/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	storeMust(t, os.Chmod(s.Path("@be/a/null"), 0o666))
	as := func(command ...string) string {
		out, _ := exec.Command("setpriv", append([]string{"--reuid=12345", "--regid=12345", "--clear-groups"}, command...)...).CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	open, err := os.MkdirTemp("/tmp", "apt-be-open-")
	storeMust(t, err)
	t.Cleanup(func() { storeMust(t, os.Remove(open)) })
	storeMust(t, os.Chmod(open, 0o755))
	for _, readOnly := range []bool{true, false} {
		storeMust(t, mounts.Mount(image.Device, "@be/a", open, readOnly))
		if got := as(open+"/id", "-u"); got != "12345" {
			t.Errorf("read-only: %v: a user became %q", readOnly, got)
		}
		if got := as("dd", "if="+open+"/null", "count=0", "status=none"); !strings.Contains(got, "Permission denied") {
			t.Errorf("read-only: %v: a user opened a device: %q", readOnly, got)
		}
		storeMust(t, mounts.Unmount(open))
	}

	private := filepath.Join(open, "mnt")
	storeMust(t, os.MkdirAll(filepath.Join(private, "a"), 0o755)) // unchanged
	t.Cleanup(func() { storeMust(t, os.RemoveAll(private)) })
	storeMust(t, os.Chown(private, 12345, 12345))
	storeMust(t, mounts.MakePrivate(private))
	if got := as("ls", private+"/a"); !strings.Contains(got, "Permission denied") {
		t.Errorf("a user walked into it: %q", got)
	}
	storeMust(t, os.RemoveAll(private))
	storeMust(t, os.Symlink("/", private))
	if err := mounts.MakePrivate(private); err == nil {
		t.Error("a link was taken for a directory")
	}
}
