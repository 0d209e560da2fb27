package btrfs_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/dedupe"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// rewritten is a base and its snapshot, in which files are written again.
type rewritten struct {
	testing.TB
	store      *btrfs.Store
	base, root string
	mount      string // the mount point of the file system
}

// newRewritten makes a file system with these files, by path from the root, and
// snapshots them. options are mount options.
func newRewritten(t testing.TB, options string, before func(root string)) *rewritten {
	t.Helper()
	image := loop.Create(t, 4<<30)
	u := &rewritten{TB: t, mount: t.TempDir()}
	image.Mount(t, u.mount, options)
	u.store = openStore(t, image.Device)
	storeMust(t, u.store.Create("@rootfs"))
	before(u.store.Path("@rootfs"))
	storeMust(t, u.store.Snapshot("@rootfs", "@be-base/a", true))
	storeMust(t, u.store.Snapshot("@be-base/a", "@be/a", false))
	u.base, u.root = u.store.Path("@be-base/a"), u.store.Path("@be/a")
	// Only the base has this state, as after an upgrade of the origin.
	storeMust(t, u.store.Delete("@rootfs"))
	return u
}

// run makes a pass and returns its report.
func (u *rewritten) run() dedupe.Report {
	u.Helper()
	report, err := dedupe.Run(context.Background(), u.base, u.root, dedupe.Options{})
	storeMust(u, err)
	return report
}

// want makes a pass and compares its report.
func (u *rewritten) want(want dedupe.Report) {
	u.Helper()
	if diff := cmp.Diff(want, u.run()); diff != "" {
		u.Errorf("the report (-want +got):\n%s", diff)
	}
}

// shares reports whether a file has the location of the base's file.
func (u *rewritten) shares(path string) bool {
	u.Helper()
	return cmp.Equal(extentsOf(u, filepath.Join(u.base, path)), extentsOf(u, filepath.Join(u.root, path)))
}

// rewrite writes a file as dpkg does: a new file replaces the old one.
func rewrite(t testing.TB, root, path string, data []byte) {
	t.Helper()
	file := filepath.Join(root, path)
	storeMust(t, os.MkdirAll(filepath.Dir(file), 0o755))
	storeMust(t, os.WriteFile(file+".dpkg-new", data, 0o644))
	storeMust(t, os.Rename(file+".dpkg-new", file))
}

// dedupeNoise returns incompressible content, the same for each seed.
func dedupeNoise(seed uint64, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// filesOf is a number of files of one size.
func filesOf(files int, size int64) dedupe.Count {
	return dedupe.Count{Files: files, Bytes: int64(files) * size}
}

const (
	dedupeSize  = 20_000
	dedupeLarge = 40<<20 + 1
)

func TestDedupeSharesEqualFiles(t *testing.T) {
	large := dedupeNoise(1, dedupeLarge)
	equal, other := dedupeNoise(2, dedupeSize), dedupeNoise(3, dedupeSize)
	u := newRewritten(t, "", func(root string) {
		rewrite(t, root, "usr/bin/equal", equal)
		rewrite(t, root, "usr/bin/linked", other)
		rewrite(t, root, "usr/bin/untouched", other)
		rewrite(t, root, "usr/bin/grows", equal)
		rewrite(t, root, "usr/bin/small", []byte("small"))
		rewrite(t, root, "usr/lib/large", large)
	})
	for _, file := range []string{"equal", "linked"} {
		data, err := os.ReadFile(filepath.Join(u.base, "usr/bin", file))
		storeMust(t, err)
		rewrite(t, u.root, "usr/bin/"+file, data)
	}
	rewrite(t, u.root, "usr/bin/grows", append(equal, 'x'))
	rewrite(t, u.root, "usr/bin/small", []byte("small"))
	rewrite(t, u.root, "usr/bin/new", equal)
	rewrite(t, u.root, "usr/lib/large", large)
	linked := filepath.Join(u.root, "usr/bin/linked")
	storeMust(t, os.Link(linked, linked+"2"))
	storeMust(t, os.Chmod(linked, 0o4711))
	storeMust(t, unix.Setxattr(linked, "user.test", []byte("x"), 0))
	storeMust(t, unix.UtimesNanoAt(unix.AT_FDCWD, linked, []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	before, used := metadataOf(t, linked), dataUsed(t, u)

	u.want(dedupe.Report{
		Candidates: dedupe.Count{Files: 3, Bytes: 2*dedupeSize + dedupeLarge},
		Shared:     dedupe.Count{Files: 3, Bytes: 2*dedupeSize + dedupeLarge},
	})
	for _, path := range []string{"usr/bin/equal", "usr/bin/linked", "usr/bin/untouched", "usr/lib/large"} {
		if !u.shares(path) {
			t.Errorf("%s has extents of its own", path)
		}
	}
	if diff := cmp.Diff(before, metadataOf(t, linked)); diff != "" {
		t.Errorf("metadata changed (-before +after):\n%s", diff)
	}
	if data, err := os.ReadFile(filepath.Join(u.root, "usr/lib/large")); err != nil || !bytes.Equal(data, large) {
		t.Errorf("another content, or %v", err)
	}
	if freed, want := used-dataUsed(t, u), 2*blocksOf(dedupeSize)+blocksOf(dedupeLarge); freed != want {
		t.Errorf("%d bytes came back, want %d", freed, want)
	}

	u.want(dedupe.Report{
		Candidates: dedupe.Count{Files: 3, Bytes: 2*dedupeSize + dedupeLarge},
		Already:    dedupe.Count{Files: 3, Bytes: 2*dedupeSize + dedupeLarge},
	})
}

func TestDedupeDiffering(t *testing.T) {
	const size = 20 << 20
	data := dedupeNoise(1, size)
	u := newRewritten(t, "", func(root string) {
		rewrite(t, root, "tail", data)
		rewrite(t, root, "short", data[:dedupeSize])
	})
	data[size-1]++
	rewrite(t, u.root, "tail", data)
	changed := bytes.Clone(data[:dedupeSize])
	changed[dedupeSize-1]++
	rewrite(t, u.root, "short", changed)
	u.want(dedupe.Report{
		Candidates: dedupe.Count{Files: 2, Bytes: size + dedupeSize},
		Differing:  dedupe.Count{Files: 2, Bytes: size + dedupeSize},
		Shared:     dedupe.Count{Bytes: 16 << 20},
	})
	for path, want := range map[string][]byte{"tail": data, "short": changed} {
		if got, err := os.ReadFile(filepath.Join(u.root, path)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has another content, or %v", path, err)
		}
	}
}

func TestDedupeNoCOW(t *testing.T) {
	inPlace := func(root, dir string) {
		storeMust(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		setNoCOW(t, filepath.Join(root, dir))
	}
	data := dedupeNoise(1, dedupeSize)
	u := newRewritten(t, "", func(root string) {
		inPlace(root, "both")
		rewrite(t, root, "both/file", data)
		rewrite(t, root, "new/file", data)
	})
	inPlace(u.root, "new")
	rewrite(t, u.root, "new/file", data)
	rewrite(t, u.root, "both/file", data)
	u.want(dedupe.Report{Candidates: filesOf(2, dedupeSize), Shared: filesOf(1, dedupeSize), NoCOW: filesOf(1, dedupeSize)})
	if !u.shares("both/file") || u.shares("new/file") {
		t.Error("the wrong one of two files that are written in place is shared")
	}
}

func TestDedupeInline(t *testing.T) {
	const size = 3000
	data := dedupeNoise(1, size)
	u := newRewritten(t, "max_inline=4095", func(root string) { rewrite(t, root, "file", data) })
	rewrite(t, u.root, "file", data)
	u.want(dedupe.Report{Candidates: filesOf(1, size), Inline: filesOf(1, size)})
}

func TestDedupeCompressed(t *testing.T) {
	const size = 1 << 20
	data := bytes.Repeat([]byte("twelve bytes"), size/12+1)[:size]
	u := newRewritten(t, "compress=zstd", func(root string) { rewrite(t, root, "file", data) })
	rewrite(t, u.root, "file", data)
	used := dataUsed(t, u)
	u.want(dedupe.Report{Candidates: filesOf(1, size), Shared: filesOf(1, size), Compressed: filesOf(1, size)})
	if !u.shares("file") {
		t.Error("the file has extents of its own")
	}
	if freed := used - dataUsed(t, u); freed <= 0 {
		t.Errorf("%d bytes came back", freed)
	}
	u.want(dedupe.Report{Candidates: filesOf(1, size), Already: filesOf(1, size), Compressed: filesOf(1, size)})
}

// Writes during the comparison are kept.
func TestDedupeWhileItIsWritten(t *testing.T) {
	old := dedupeNoise(1, dedupeLarge)
	u := newRewritten(t, "", func(root string) { rewrite(t, root, "file", old) })
	rewrite(t, u.root, "file", old)
	file, err := os.OpenFile(filepath.Join(u.root, "file"), os.O_RDWR, 0)
	storeMust(t, err)
	defer file.Close()
	want := bytes.Clone(old)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 400 {
			at := int64(i) * (dedupeLarge / 400)
			want[at]++
			if _, err := file.WriteAt(want[at:at+1], at); err != nil {
				t.Error(err)
			}
			want[at]-- // and back: the file may be equal at the moment of the comparison
			if _, err := file.WriteAt(want[at:at+1], at); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				want[at+1]++
				if _, err := file.WriteAt(want[at+1:at+2], at+1); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for passes := 0; ; passes++ {
		u.run()
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	for path, want := range map[string][]byte{filepath.Join(u.base, "file"): old, filepath.Join(u.root, "file"): want} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what was written, or %v", path, err)
		}
	}
}

// The pass never leaves the two trees, and never blocks.
func TestDedupeHostileTrees(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef"
	data := dedupeNoise(1, dedupeSize)
	u := newRewritten(t, "", func(root string) {
		for _, path := range []string{"link/file", "up/file", "fifo", "swapped/file"} {
			rewrite(t, root, path, data)
		}
		storeMust(t, unix.Mkfifo(filepath.Join(root, "base-fifo"), 0o644))
		storeMust(t, os.Symlink(filepath.Join(filepath.Dir(root), "outside"), filepath.Join(root, "base-link")))
		rewrite(t, root, "var/lib/dpkg/info/a.md5sums", []byte(sum+"  base-fifo\n"+sum+"  ../../outside/file\n"+sum+"  base-link/file\n"))
	})
	outside := u.store.Path("outside")
	rewrite(t, outside, "file", data)
	for _, dir := range []string{"link", "up", "swapped"} {
		storeMust(t, os.RemoveAll(filepath.Join(u.root, dir)))
	}
	storeMust(t, os.Symlink(outside, filepath.Join(u.root, "link")))
	storeMust(t, os.Symlink("../../outside", filepath.Join(u.root, "up")))
	storeMust(t, os.Remove(filepath.Join(u.root, "fifo")))
	storeMust(t, unix.Mkfifo(filepath.Join(u.root, "fifo"), 0o644))
	rewrite(t, u.root, "base-link-is-here/file", data)
	rewrite(t, u.root, "moved", data)
	rewrite(t, u.root, "var/lib/dpkg/info/b.md5sums", []byte(sum+"  moved\n"+strings.Repeat("x", 100)+"\n"))
	storeMust(t, u.store.Create("@be/a/swapped")) // nested: the base has a plain directory there
	rewrite(t, u.root, "swapped/file", data)
	before := extentsOf(t, filepath.Join(outside, "file"))

	// "moved" has the checksum of a FIFO, of a file outside, and of a file behind a
	// link: none of them is opened.
	u.want(dedupe.Report{Candidates: filesOf(1, dedupeSize), Changed: filesOf(1, dedupeSize)})
	if !cmp.Equal(before, extentsOf(t, filepath.Join(outside, "file"))) {
		t.Error("a file outside is stored elsewhere now")
	}
}

// A file that shares extents with other files of its own tree has no extents of the
// base.
func TestDedupeSharedWithOthers(t *testing.T) {
	data := dedupeNoise(1, dedupeSize)
	u := newRewritten(t, "", func(root string) {
		rewrite(t, root, "file", data)
		rewrite(t, root, "copy", data)
	})
	rewrite(t, u.root, "file", data)
	rewrite(t, u.root, "copy", nil)
	file, err := os.Open(filepath.Join(u.root, "file"))
	storeMust(t, err)
	defer file.Close()
	twin, err := os.OpenFile(filepath.Join(u.root, "copy"), os.O_WRONLY, 0)
	storeMust(t, err)
	defer twin.Close()
	storeMust(t, unix.IoctlFileClone(int(twin.Fd()), int(file.Fd())))
	used := dataUsed(t, u)
	u.want(dedupe.Report{Candidates: filesOf(2, dedupeSize), Shared: filesOf(2, dedupeSize)})
	if !u.shares("file") || !u.shares("copy") {
		t.Error("a file has extents of its own")
	}
	if freed := used - dataUsed(t, u); freed != blocksOf(dedupeSize) {
		t.Errorf("%d bytes came back, want %d", freed, blocksOf(dedupeSize))
	}
}

// The packages' checksums find a file at another path in the base.
func TestDedupeElsewhere(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef"
	data := dedupeNoise(1, dedupeSize)
	u := newRewritten(t, "", func(root string) {
		rewrite(t, root, "usr/lib/python3.11/x.py", data)
		rewrite(t, root, "var/lib/dpkg/info/python3.11.md5sums", []byte(sum+"  usr/lib/python3.11/x.py\n"))
	})
	storeMust(t, os.Rename(filepath.Join(u.root, "usr/lib/python3.11"), filepath.Join(u.root, "usr/lib/python3.13")))
	rewrite(t, u.root, "usr/lib/python3.13/x.py", data)
	rewrite(t, u.root, "var/lib/dpkg/info/python3.13.md5sums", []byte(sum+"  usr/lib/python3.13/x.py\n"))
	u.want(dedupe.Report{Candidates: filesOf(1, dedupeSize), Shared: filesOf(1, dedupeSize)})
	old, now := extentsOf(t, filepath.Join(u.base, "usr/lib/python3.11/x.py")), extentsOf(t, filepath.Join(u.root, "usr/lib/python3.13/x.py"))
	if !cmp.Equal(old, now) {
		t.Error("the file has extents of its own")
	}
}
