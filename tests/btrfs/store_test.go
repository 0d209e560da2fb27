package btrfs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/internal/store/storetest"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

const storeImageSize = 256 << 20

// newStore opens a store on a file system of its own, until the test ends.
func newStore(t testing.TB, size int64) (*btrfs.Store, *loop.Image) {
	t.Helper()
	image := loop.Create(t, size)
	return openStore(t, image.Device), image
}

func openStore(t testing.TB, device string) *btrfs.Store {
	t.Helper()
	s, err := btrfs.OpenDevice(device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // a second time, if the test closed it
	t.Cleanup(func() { os.Remove(shareCacheOf(s)) })
	return s
}

// shareCacheOf returns the file in which a store caches exclusive usage.
func shareCacheOf(s *btrfs.Store) string {
	return "/run/apt-be/space-" + s.FileSystemUUID() + ".json"
}

func storeMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := btrfs.OpenDevice(loop.Create(t, storeImageSize).Device)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(shareCacheOf(s)) })
		return s
	})
}

func TestStoreLeavesNoMount(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@a"))
	for _, table := range []string{"/proc/self/mountinfo", "/proc/1/mountinfo"} {
		mounts, err := os.ReadFile(table)
		storeMust(t, err)
		if strings.Contains(string(mounts), " "+image.Device+" ") {
			t.Errorf("%s is in %s:\n%s", image.Device, table, mounts)
		}
	}
	storeMust(t, s.Close())
	if _, err := os.Stat(s.Path("@a")); err == nil {
		t.Error("the top level can be reached after Close")
	}
	image.Detach(t) // fails if the file system is still mounted elsewhere
}

func TestStoreOpenFindsTopLevelAndNames(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@rootfs"))
	storeMust(t, s.Create("@rootfs/var/nested"))
	// A longer mount point with the same beginning, a mount over another one, and names
	// that the mount table escapes.
	dir := filepath.Join(t.TempDir(), "a b")
	storeMust(t, os.MkdirAll(dir, 0o755))
	storeMust(t, os.MkdirAll(dir+"\nc", 0o755))
	other := loop.Create(t, storeImageSize)
	other.Mount(t, dir+"\nc", "")
	other.Mount(t, dir, "")
	image.Mount(t, dir, "subvol=@rootfs")

	for _, name := range []string{dir, filepath.Join(dir, "var/nested")} {
		opened, err := btrfs.Open(name)
		storeMust(t, err)
		defer opened.Close()
		if opened.Device() != image.Device {
			t.Errorf("Open(%q) opened %s, want %s", name, opened.Device(), image.Device)
		}
		if _, err := opened.Get("@rootfs"); err != nil {
			t.Error(err)
		}
	}
	got, err := s.Locate(filepath.Join(dir, "var/nested"))
	if err != nil || got.Path != "@rootfs/var/nested" {
		t.Errorf("Locate = %+v, %v", got, err)
	}
	storeMust(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	got, err = s.Locate(filepath.Join(dir, "fifo"))
	if err != nil || got.Path != "@rootfs" {
		t.Errorf("Locate of a FIFO = %+v, %v", got, err)
	}
	if _, err := s.Locate(dir + "\nc"); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("Locate on another btrfs = %v, want ErrUnsupported", err)
	}
}

// TestStoreOpenRenamedDevice opens a file system that was mounted by a name of its
// device that no longer exists.
func TestStoreOpenRenamedDevice(t *testing.T) {
	image := loop.Create(t, storeImageSize)
	var stat unix.Stat_t
	storeMust(t, unix.Stat(image.Device, &stat))
	alias := filepath.Join(t.TempDir(), "alias")
	storeMust(t, unix.Mknod(alias, stat.Mode, int(stat.Rdev)))
	dir := t.TempDir()
	(&loop.Image{Device: alias}).Mount(t, dir, "")
	storeMust(t, os.Remove(alias))
	s, err := btrfs.Open(dir)
	storeMust(t, err)
	defer s.Close()
	if s.Device() != image.Device {
		t.Errorf("Open opened %s, want %s", s.Device(), image.Device)
	}
}

func TestStoreOpenUnsupported(t *testing.T) {
	loop.RequireRoot(t)
	if _, err := btrfs.Open("/proc"); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("Open(/proc) = %v, want ErrUnsupported", err)
	}
	if _, err := btrfs.Open("/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of nothing = %v, want ErrNotExist", err)
	}
	if _, err := btrfs.OpenDevice("/dev/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenDevice of nothing = %v, want ErrNotExist", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	storeMust(t, os.WriteFile(empty, make([]byte, 1<<20), 0o600))
	for _, device := range []string{loop.Attach(t, empty).Device, empty, "/dev/null"} {
		if _, err := btrfs.OpenDevice(device); !errors.Is(err, store.ErrUnsupported) {
			t.Errorf("OpenDevice(%s) = %v, want ErrUnsupported", device, err)
		}
	}
}

func TestStoreSetReadOnly(t *testing.T) {
	s, _ := newStore(t, storeImageSize)
	storeMust(t, s.Create("@a"))
	storeMust(t, s.Snapshot("@a", "@base", true))
	if err := os.WriteFile(s.Path("@base/x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing into a read-only snapshot = %v, want EROFS", err)
	}
	storeMust(t, s.SetReadOnly("@base", false))
	storeMust(t, os.WriteFile(s.Path("@base/x"), nil, 0o600))
}

func TestStoreBusyWithSwapFile(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@a"))
	dir := t.TempDir()
	image.Mount(t, dir, "subvol=@a")
	file := filepath.Join(dir, "swap")
	script := fmt.Sprintf(`set -e; touch %[1]s; chattr +C %[1]s; chmod 600 %[1]s
		dd if=/dev/zero of=%[1]s bs=1M count=8 status=none; mkswap -q %[1]s; swapon %[1]s`, file)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a swap file: %v\n%s", err, out)
	}
	storeCheckBusy(t, "Snapshot", s.Snapshot("@a", "@b", false))
	storeCheckBusy(t, "Delete", s.Delete("@a"))
	if out, err := exec.Command("swapoff", file).CombinedOutput(); err != nil {
		t.Fatalf("cannot swapoff: %v\n%s", err, out)
	}
	storeMust(t, s.Snapshot("@a", "@b", false))
}

func TestStoreBusyWithSend(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@a"))
	storeMust(t, os.WriteFile(s.Path("@a/file"), make([]byte, 16<<20), 0o600))
	storeMust(t, s.SetReadOnly("@a", true))
	dir := t.TempDir()
	image.Mount(t, dir, "")
	send := exec.Command("btrfs", "-q", "send", filepath.Join(dir, "@a"))
	stream, err := send.StdoutPipe()
	storeMust(t, err)
	storeMust(t, send.Start())
	_, err = stream.Read(make([]byte, 1)) // the process runs, and waits until the test reads on
	storeCheckBusy(t, "Delete", s.Delete("@a"))
	storeCheckBusy(t, "SetReadOnly", s.SetReadOnly("@a", false))
	storeMust(t, errors.Join(err, send.Process.Kill()))
	if err := send.Wait(); err == nil {
		t.Error("btrfs send had ended before the checks")
	}
	storeMust(t, s.Delete("@a"))
}

func storeCheckBusy(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrBusy) {
		t.Errorf("%s = %v, want ErrBusy", what, err)
	}
}

// TestStoreDeleteOfMounted checks a property that callers rely on: the kernel does not
// protect a mounted subvolume, so they must check first.
func TestStoreDeleteOfMounted(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@a"))
	dir := t.TempDir()
	image.Mount(t, dir, "subvol=@a")
	storeMust(t, s.Delete("@a"))
	if _, err := s.Locate(dir); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Locate in a deleted subvolume = %v, want ErrNotFound", err)
	}
}

func TestStoreUmask(t *testing.T) {
	s, _ := newStore(t, storeImageSize)
	old := unix.Umask(0o077)
	err := s.Create("@a")
	unix.Umask(old)
	storeMust(t, err)
	if info, err := os.Stat(s.Path("@a")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a new subvolume is %v, %v, want mode 0755", info, err)
	}
}
