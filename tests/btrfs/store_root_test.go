package btrfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// storeRootVariable contains the new root in a test process that runs itself again in a
// mount namespace of its own.
const storeRootVariable = "APT_BE_TEST_ROOT"

// runInNamespace runs the test with this name again, alone, with private mounts.
func runInNamespace(t *testing.T, root string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), storeRootVariable+"="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

func bind(t *testing.T, name, root string) {
	t.Helper()
	target := filepath.Join(root, name)
	storeMust(t, os.MkdirAll(target, 0o755))
	storeMust(t, unix.Mount(name, target, "", unix.MS_BIND|unix.MS_REC, ""))
}

// TestStoreInPivotedRoot opens the store of "/" where a subvolume was made the
// root of a private mount namespace.
func TestStoreInPivotedRoot(t *testing.T) {
	root := os.Getenv(storeRootVariable)
	if root == "" {
		s, image := newStore(t, storeImageSize)
		storeMust(t, s.Create("@rootfs"))
		dir := t.TempDir()
		image.Mount(t, dir, "subvol=@rootfs")
		runInNamespace(t, dir)
		return
	}
	bind(t, "/proc", root)
	bind(t, "/dev", root)
	storeMust(t, os.Chdir(root))
	storeMust(t, unix.PivotRoot(".", "."))
	storeMust(t, unix.Unmount(".", unix.MNT_DETACH))
	storeMust(t, os.Chdir("/"))

	s, err := btrfs.Open("/")
	storeMust(t, err)
	defer s.Close()
	running, err := s.Locate("/")
	storeMust(t, err)
	if running.Path != "@rootfs" {
		t.Errorf("Locate(/) = %+v, want @rootfs", running)
	}
	storeMust(t, s.Snapshot(running.Path, "@be/a", false))
	if got, err := s.Get("@be/a"); err != nil || got.ParentUUID != running.UUID {
		t.Errorf("snapshot of the running root: %+v, %v", got, err)
	}
}

// TestStoreInPlainChroot checks that a root directory that is not a mount point is
// refused with a reason, because the mount table does not name its device.
func TestStoreInPlainChroot(t *testing.T) {
	root := os.Getenv(storeRootVariable)
	if root == "" {
		image := loop.Create(t, storeImageSize)
		dir := t.TempDir()
		image.Mount(t, dir, "")
		storeMust(t, os.Mkdir(filepath.Join(dir, "root"), 0o755))
		runInNamespace(t, filepath.Join(dir, "root"))
		return
	}
	bind(t, "/proc", root)
	storeMust(t, unix.Chroot(root))
	storeMust(t, os.Chdir("/"))
	s, err := btrfs.Open("/")
	if !errors.Is(err, store.ErrUnsupported) || !strings.Contains(err.Error(), "not a mount point") {
		t.Errorf("Open(/) = %v, %v, want ErrUnsupported and why", s, err)
	}
}
