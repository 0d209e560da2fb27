package btrfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// command runs apt-be as a process on a root of 20,000 files.
type command struct {
	*testing.B
	store  *btrfs.Store
	binary string
	root   string // where the running root is mounted
}

// newCommand makes n environments.
func newCommand(b *testing.B, n int) command {
	b.Helper()
	c := newCommandOn(b, 4<<30, func(s *btrfs.Store) { fillBigRoot(b, s) })
	for i := range n {
		c.run("create", fmt.Sprintf("be%d", i))
	}
	storeMust(b, c.store.Sync())
	return c
}

// newCommandOn makes a file system of size bytes and calls fill for the running root.
func newCommandOn(b *testing.B, size int64, fill func(s *btrfs.Store)) command {
	b.Helper()
	s, image := newStore(b, size)
	storeMust(b, s.Create("@rootfs"))
	fill(s)
	storeMust(b, os.MkdirAll(s.Path("@rootfs/etc"), 0o755))
	storeMust(b, os.WriteFile(s.Path("@rootfs/etc/fstab"), []byte(image.Device+" / btrfs subvol=@rootfs 0 0\n"), 0o644))
	c := command{B: b, store: s, binary: filepath.Join(b.TempDir(), "apt-be"), root: b.TempDir()}
	if out, err := exec.Command("go", "build", "-o", c.binary, "../../cmd/apt-be").CombinedOutput(); err != nil {
		b.Fatalf("cannot build apt-be: %v\n%s", err, out)
	}
	image.Mount(b, c.root, "subvol=@rootfs")
	storeMust(b, s.Sync())
	return c
}

func (c command) run(args ...string) {
	c.Helper()
	out, err := exec.Command(c.binary, append([]string{"--root", c.root}, args...)...).CombinedOutput()
	if err != nil {
		c.Fatalf("apt-be %q: %v\n%s", args, err, out)
	}
}

// BenchmarkCommand measures whole processes with 1, 10 and 100 environments. For
// comparison it measures the kernel alone: a snapshot, of which create makes two, and
// the deletion of a snapshot.
func BenchmarkCommand(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCommand(b, n)
			c.measure("create", func() { c.run("create", "new") }, func() { c.run("destroy", "new") })
			c.measure("raw-snapshot", func() { storeMust(b, c.store.Snapshot("@rootfs", "raw", false)) },
				func() { storeMust(b, c.store.Delete("raw")) })
			c.run("create", "new")
			c.measure("destroy", func() { c.run("destroy", "new") }, func() { c.run("create", "new") })
			storeMust(b, c.store.Snapshot("@rootfs", "raw", false))
			c.measure("raw-delete", func() { storeMust(b, c.store.Delete("raw")) },
				func() { storeMust(b, c.store.Snapshot("@rootfs", "raw", false)) })
			c.measure("list", func() { c.run("list") }, func() {})
			c.measure("list-space", func() { c.run("list", "-s") }, func() {})
		})
	}
}

// measure times an operation and then undoes it.
func (c command) measure(name string, do, undo func()) {
	c.Run(name, func(b *testing.B) {
		for b.Loop() {
			do()
			b.StopTimer()
			undo()
			storeMust(b, c.store.Sync())
			b.StartTimer()
		}
	})
}
