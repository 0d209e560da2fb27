package btrfs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// spaceLab is a file system with a Debian root in @rootfs, from which tests make
// environments.
type spaceLab struct {
	*testing.T
	store *btrfs.Store
	dir   string // the mount point of its top level
}

// newSpaceLab makes one with real packages, mounted with options, each with a comma
// before it.
func newSpaceLab(t *testing.T, options string) spaceLab {
	return mountSpaceLab(t, machine.NewImage(t, "oldstable", running).Device(), options)
}

// mountSpaceLab mounts the file system on a device. It commits every second, because
// the kernel frees deleted subvolumes after a commit.
func mountSpaceLab(t *testing.T, device, options string) spaceLab {
	t.Helper()
	l := spaceLab{T: t, store: openStore(t, device), dir: t.TempDir()}
	l.command("mount", "-o", "subvolid=5", device, l.dir)
	t.Cleanup(func() { storeMust(t, unix.Unmount(l.dir, 0)) })
	// Only the options of the first mount count, and this is not the first.
	l.command("mount", "-o", "remount,commit=1"+options, l.dir)
	return l
}

func (l spaceLab) command(name string, args ...string) string {
	l.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// create makes an environment as apt-be does: a read-only base of the origin, and a
// snapshot of the base.
func (l spaceLab) create(name, origin string) {
	l.Helper()
	storeMust(l, l.store.Snapshot(origin, "@be-base/"+name, true))
	storeMust(l, l.store.Snapshot("@be-base/"+name, "@be/"+name, false))
}

// rewrite replaces the files below some directories of a subvolume by copies, as an
// upgrade does: new files are renamed over the old ones.
func (l spaceLab) rewrite(subvolume string, dirs ...string) {
	l.Helper()
	for _, dir := range dirs {
		target := filepath.Join(l.dir, subvolume, dir)
		l.command("cp", "-a", "--reflink=never", target, target+".new")
		l.command("rm", "-r", target)
		l.command("mv", target+".new", target)
	}
}

// write creates an incompressible file.
func (l spaceLab) write(file string, megabytes int) {
	l.Helper()
	content := make([]byte, megabytes<<20)
	rand.NewChaCha8([32]byte{byte(megabytes)}).Read(content)
	storeMust(l, os.WriteFile(filepath.Join(l.dir, file), content, 0o644))
}

// usedBytes matches the line of the total of used bytes, including copies, in the
// report of btrfs-filesystem(8).
var usedBytes = regexp.MustCompile(`(?m)^ +Used:\s+(\d+)$`)

// used returns the used bytes of the file system after all deletions are complete.
func (l spaceLab) used() uint64 {
	l.Helper()
	l.command("btrfs", "subvolume", "sync", "-s", "1", l.dir)
	l.command("btrfs", "filesystem", "sync", l.dir)
	match := usedBytes.FindStringSubmatch(l.command("btrfs", "filesystem", "usage", "-b", l.dir))
	if match == nil {
		l.Fatal("cannot find out what is in use")
	}
	used, err := strconv.ParseUint(match[1], 10, 64)
	storeMust(l, err)
	return used
}

// slack is the tolerance of a prediction in bytes, in addition to 1 %: some blocks that
// a deletion writes elsewhere, twice each.
const slack = 24 * 2 * 16384

// check compares the predicted freed space with the real one.
func (l spaceLab) check(what string, predicted, freed uint64) {
	l.Helper()
	off := float64(predicted) - float64(freed)
	percent := 0.0
	if freed > 0 {
		percent = 100 * off / float64(freed)
	}
	l.Logf("%-40s predicted %12d freed %12d off %9.0f (%.2f %%)", what, predicted, freed, off, percent)
	if max(off, -off) > 0.01*float64(freed)+slack {
		l.Errorf("%s: predicted %d, freed %d, which is %.2f %% off", what, predicted, freed, percent)
	}
}

// unitsOf returns environments by name, each with its base.
func unitsOf(names ...string) [][]string {
	var units [][]string
	for _, name := range names {
		units = append(units, []string{"@be/" + name, "@be-base/" + name})
	}
	return units
}

// shares returns the exclusive usage of units.
func (l spaceLab) shares(units [][]string) []store.ExclusiveUsage {
	l.Helper()
	storeMust(l, l.store.Sync())
	shares, err := l.store.ExclusiveUsage(units)
	storeMust(l, err)
	return shares
}

// destroy deletes units, and compares the freed space with the prediction.
func (l spaceLab) destroy(what string, units [][]string, which ...int) {
	l.Helper()
	before := l.used()
	predicted := store.Freed(l.shares(units), which...)
	for _, unit := range which {
		for _, p := range units[unit] {
			storeMust(l, l.store.Delete(p))
		}
	}
	l.check(what, predicted, before-l.used())
}

func TestSpaceFreed(t *testing.T) {
	l := newSpaceLab(t, "")
	l.create("same", running)
	l.destroy("an identical tree", unitsOf("same"), 0)

	l.create("upgraded", running)
	l.rewrite("@be/upgraded", "usr/share", "usr/lib", "var/lib/dpkg")
	l.destroy("an upgraded one", unitsOf("upgraded"), 0)

	// Two environments share data of a common origin that no longer exists.
	l.create("first", running)
	l.rewrite("@be/first", "usr/share", "usr/bin")
	l.create("second", "@be/first")
	l.rewrite("@be/second", "usr/bin")
	units := unitsOf("first", "second")
	shares := l.shares(units)
	first, second, both := store.Freed(shares, 0), store.Freed(shares, 1), store.Freed(shares, 0, 1)
	if both < 2*(first+second) {
		t.Errorf("two that share most free %d and %d, and together only %d", first, second, both)
	}
	before := l.used()
	l.destroy("one of two that share", units, 0)
	l.destroy("the other one", units[1:], 0)
	l.check("both", both, before-l.used())
	for _, name := range []string{"first", "second"} {
		l.create(name, running)
	}
	l.rewrite("@be/first", "usr/share")
	l.rewrite("@be/second", "usr/lib")
	l.destroy("two at once", unitsOf("first", "second"), 0, 1)
}

// TestSpaceOfRunning has data of an environment that the running system no longer has,
// and data that the running system took from the environment.
func TestSpaceOfRunning(t *testing.T) {
	l := newSpaceLab(t, "")
	l.create("old", running)
	l.rewrite(running, "usr/share", "usr/lib")
	l.destroy("what the running one replaced", unitsOf("old"), 0)

	l.create("reflinked", running)
	l.rewrite("@be/reflinked", "usr/share", "usr/lib")
	l.write("@be/reflinked/whole", 20)
	l.write("@be/reflinked/part", 30)
	storeMust(t, l.store.Sync())
	l.command("cp", "--reflink=always", filepath.Join(l.dir, "@be/reflinked/whole"), filepath.Join(l.dir, running, "whole"))
	l.command("cp", "-a", "--reflink=always", filepath.Join(l.dir, "@be/reflinked/usr/lib"), filepath.Join(l.dir, running, "copy"))
	l.reflinkPart(filepath.Join(l.dir, "@be/reflinked/part"), filepath.Join(l.dir, running, "part"))
	l.destroy("one with files that are reflinked", unitsOf("reflinked"), 0)

	// Only the running system now has the data that it took.
	l.create("again", running)
	l.rewrite("@be/again", "usr/share")
	storeMust(t, os.RemoveAll(filepath.Join(l.dir, running, "copy")))
	l.destroy("what the running one has deleted", unitsOf("again"), 0)
}

// reflinkPart makes a file from the first block of another one, which keeps the whole
// extent.
func (l spaceLab) reflinkPart(from, to string) {
	l.Helper()
	src, err := os.Open(from)
	storeMust(l, err)
	defer src.Close()
	dst, err := os.Create(to)
	storeMust(l, err)
	defer dst.Close()
	storeMust(l, unix.IoctlFileCloneRange(int(dst.Fd()), &unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_length: 4096}))
}

// TestSpaceOfNested counts nested subvolumes, and other subvolumes that share data with
// an environment.
func TestSpaceOfNested(t *testing.T) {
	l := newSpaceLab(t, "")
	storeMust(t, l.store.Create(running+"/var/lib/machines"))
	l.command("cp", "-a", filepath.Join(l.dir, running, "usr/lib"), filepath.Join(l.dir, running, "var/lib/machines/lib"))
	l.create("nested", running)
	storeMust(t, l.store.SnapshotOver(running+"/var/lib/machines", "@be/nested/var/lib/machines", false))
	l.write("@be/nested/var/lib/machines/new", 50)
	l.rewrite("@be/nested", "usr/share")
	// A user's own snapshots, one of which is written to.
	storeMust(t, l.store.Snapshot("@be/nested", "kept", true))
	l.rewrite("@be/nested", "usr/bin")
	storeMust(t, os.RemoveAll(filepath.Join(l.dir, "@be/nested/usr/share/doc")))

	unit := [][]string{{"@be/nested", "@be-base/nested", "@be/nested/var/lib/machines"}}
	before := l.used()
	predicted := store.Freed(l.shares(unit), 0)
	storeMust(t, l.store.Delete("@be/nested"))
	storeMust(t, l.store.Delete("@be-base/nested"))
	l.check("one with a nested subvolume", predicted, before-l.used())
	l.destroy("a snapshot of what is gone", [][]string{{"kept"}}, 0)
}

// TestSpaceOfDeletedOrigin destroys the environment that ran before.
func TestSpaceOfDeletedOrigin(t *testing.T) {
	l := newSpaceLab(t, "")
	l.create("next", running)
	l.rewrite("@be/next", "usr/share", "usr/lib", "usr/bin")
	l.create("later", "@be/next")
	l.rewrite("@be/later", "usr/lib")
	units := append(unitsOf("next", "later"), []string{running})
	l.destroy("the installer's root", units, 2)
	l.destroy("the origin of the last one", units[:2], 0)
	l.destroy("the last one", units[1:2], 0)
}

func TestSpaceCompressed(t *testing.T) {
	l := newSpaceLab(t, ",compress-force=zstd:1")
	l.create("compressed", running)
	l.rewrite("@be/compressed", "usr/share", "usr/lib")
	l.write("@be/compressed/random", 10)
	file := filepath.Join(l.dir, "@be/compressed/reserved")
	l.command("fallocate", "-l", "40M", file)
	l.destroy("a compressed one with reserved space", unitsOf("compressed"), 0)
}

// TestSpaceOfFormats checks file systems of all formats.
func TestSpaceOfFormats(t *testing.T) {
	for name, form := range map[string]struct{ mkfs, tune []string }{
		"mixed":              {mkfs: []string{"-M"}},
		"single":             {mkfs: []string{"-m", "single", "-d", "dup"}},
		"long items":         {mkfs: []string{"-O", "^skinny-metadata"}},
		"small nodes":        {mkfs: []string{"-n", "4096"}},
		"long checksums":     {mkfs: []string{"--csum", "sha256"}},
		"quota":              {tune: []string{"quota", "enable"}},
		"no free space tree": {mkfs: []string{"-R", "^free-space-tree"}},
	} {
		t.Run(name, func(t *testing.T) {
			mkfs := append([]string{"mkfs.btrfs", "-q", "-f"}, form.mkfs...)
			l := mountSpaceLab(t, loop.CreateBy(t, 1<<30, mkfs...).Device, "")
			if form.tune != nil {
				l.command("btrfs", append(form.tune, l.dir)...)
			}
			storeMust(t, l.store.Create(running))
			for i := range 3000 {
				dir := fmt.Sprintf("%s/usr/share/d%d", running, i%50)
				storeMust(t, os.MkdirAll(filepath.Join(l.dir, dir), 0o755))
				storeMust(t, os.WriteFile(fmt.Sprintf("%s/%s/f%d", l.dir, dir, i), make([]byte, 1000+i*3), 0o644))
			}
			l.write(running+"/usr/big", 30)
			l.create("a", running)
			l.rewrite("@be/a", "usr")
			l.create("b", "@be/a")
			l.rewrite("@be/b", "usr/share")
			units := unitsOf("a", "b")
			l.destroy("the origin", units, 0)
			l.destroy("the other one", units[1:], 0)
		})
	}
}

// TestSpaceIsCached checks that the second result is the cached first one, until a
// subvolume changes.
func TestSpaceIsCached(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	dir := t.TempDir()
	image.Mount(t, dir, "")
	storeMust(t, s.Create("@a"))
	storeMust(t, s.Create("@b"))
	write := func(name string) {
		t.Helper()
		storeMust(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), 8<<20), 0o600))
		storeMust(t, s.Sync())
	}
	freed := func() uint64 {
		t.Helper()
		shares, err := s.ExclusiveUsage([][]string{{"@a"}})
		storeMust(t, err)
		return store.Freed(shares, 0)
	}
	cache := shareCacheOf(s)
	write("@a/file")
	first := freed()
	if first < 8<<20 || first > 9<<20 {
		t.Errorf("8 MiB take %d bytes", first)
	}
	kept, err := os.ReadFile(cache)
	storeMust(t, err)
	if again := freed(); again != first {
		t.Errorf("%d bytes, and then %d", first, again)
	}
	if now, err := os.ReadFile(cache); err != nil || !bytes.Equal(now, kept) {
		t.Errorf("what was kept is another thing by now: %v", err)
	}
	storeMust(t, os.WriteFile(cache, []byte("{"), 0o600))
	if again := freed(); again != first {
		t.Errorf("%d bytes, and with a damaged cache %d", first, again)
	}
	// Another subvolume gets the extent meanwhile.
	out, err := exec.Command("cp", "--reflink=always", filepath.Join(dir, "@a/file"), filepath.Join(dir, "@b/file")).CombinedOutput()
	if err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	storeMust(t, s.Sync())
	if now := freed(); now > 1<<20 {
		t.Errorf("%d bytes are freed, though they are reflinked", now)
	}
	storeMust(t, os.Remove(filepath.Join(dir, "@b/file")))
	storeMust(t, s.Sync())
	if now := freed(); now < 8<<20 {
		t.Errorf("%d bytes are freed, though the other one has let go", now)
	}
}
