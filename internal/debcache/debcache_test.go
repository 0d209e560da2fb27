package debcache

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/overlay"
)

// desk has a running system's package cache and lists, and a scratch directory.
type desk struct {
	t                     *testing.T
	cache, lists, scratch string
	list                  string
}

func newDesk(t *testing.T) *desk {
	dir := t.TempDir()
	d := &desk{t: t, cache: filepath.Join(dir, "cache"), lists: filepath.Join(dir, "lists"), scratch: filepath.Join(dir, "scratch/uuid")}
	for _, dir := range []string{d.cache, d.lists, filepath.Join(d.cache, "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// describe adds version 1 of a package with this content to the lists.
func (d *desk) describe(pkg, content string) (name string) {
	d.list += fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: all\nFilename: ./%[1]s.deb\nSize: %d\nSHA256: %x\n\n", pkg, len(content), sha256.Sum256([]byte(content)))
	write(d.t, filepath.Join(d.lists, "repo_Packages"), d.list)
	return pkg + "_1_all.deb"
}

// lend lends the cache, and returns the upper directory of the overlay.
func (d *desk) lend() (*Overlay, string) {
	d.t.Helper()
	l, err := Open(d.cache, d.scratch)
	if err != nil {
		d.t.Fatal(err)
	}
	upper := filepath.Join(d.scratch, l.Dir(), "upper")
	if err := os.Mkdir(upper, 0o755); err != nil {
		d.t.Fatal(err)
	}
	return l, upper
}

// check returns the loan, checks the report, and checks that no file is left behind.
func (d *desk) check(l *Overlay, want Report) {
	d.t.Helper()
	got, err := l.CopyBack(d.lists)
	if err != nil {
		d.t.Error(err)
	}
	for _, names := range [][]string{got.Kept, got.Removed, got.Unknown} {
		slices.Sort(names)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Error(diff)
	}
	if left, err := os.ReadDir(d.scratch); !os.IsNotExist(err) {
		d.t.Errorf("left: %v, %v", left, err)
	}
}

// holds checks that the cache contains exactly these files.
func (d *desk) holds(want map[string]string) {
	d.t.Helper()
	got := map[string]string{}
	entries, err := os.ReadDir(d.cache)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "lock" || e.Name() == "partial" {
			continue
		}
		info, err := e.Info()
		if err != nil || info.Mode() != 0o644 {
			d.t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
		text, err := os.ReadFile(filepath.Join(d.cache, e.Name()))
		if err != nil {
			d.t.Error(err)
		}
		got[e.Name()] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Error(diff)
	}
	if entries, err := os.ReadDir(filepath.Join(d.cache, "partial")); err != nil || len(entries) > 0 {
		d.t.Errorf("partial holds %v, %v", entries, err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestHostile leaves files in a lent cache that a maintainer script could leave. Only
// the correct package file reaches the running system's cache.
func TestHostile(t *testing.T) {
	d := newDesk(t)
	write(t, filepath.Join(d.cache, d.describe("old", "old package")), "old package")
	l, upper := d.lend()
	at := func(name string) string { return filepath.Join(upper, name) }
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "good package")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	write(t, at(d.describe("good", "good package")), "good package")
	must(os.Chmod(at("good_1_all.deb"), 0o777|os.ModeSetuid))
	write(t, at(d.describe("changed", "other package")), "OTHER package")  // the same size
	write(t, at(d.describe("longer", "other package")), "other package++") // it begins with the right content
	write(t, at(d.describe("empty", "")), "")
	write(t, at("unlisted_1_all.deb"), "good package")
	write(t, at("old_1_all.deb"), "OLD package")
	must(os.Symlink("/etc", at("partial")))
	must(os.Symlink(outside, at(d.describe("link", "good package"))))
	must(unix.Mkfifo(at(d.describe("fifo", "good package")), 0o644))
	must(os.Mkdir(at(d.describe("directory", "good package")), 0o755))
	must(os.Link(outside, at(d.describe("hardlink", "good package"))))
	must(os.Symlink("/etc/passwd", at("lock")))
	for _, name := range []string{"su", "su.deb", "a_b_c_d.deb", ".a_1_all.deb", "..deb", "_.deb", "null_1.deb", "x\n_1_all.deb", "good_1_all.deb\n"} {
		write(t, at(name), "good package")
		must(os.Chmod(at(name), 0o755|os.ModeSetuid))
	}
	for n := range 10000 {
		write(t, at(fmt.Sprintf("n%d_1_all.de", n)), "")
	}
	d.check(l, Report{Kept: []string{"good_1_all.deb"}, Unknown: []string{
		"changed_1_all.deb", "longer_1_all.deb", "unlisted_1_all.deb", "x\n_1_all.deb",
	}})
	d.holds(map[string]string{"good_1_all.deb": "good package", "old_1_all.deb": "old package"})
}

// TestRemoved removes files from a lent cache, as apt(8) does with installed packages.
// They are removed from the running system's cache if they are unchanged.
func TestRemoved(t *testing.T) {
	d := newDesk(t)
	for _, name := range []string{"installed_1_all.deb", "replaced_1_all.deb", "notes.txt"} {
		write(t, filepath.Join(d.cache, name), "package")
	}
	l, upper := d.lend()
	for _, name := range []string{"installed_1_all.deb", "replaced_1_all.deb", "notes.txt", "never_1_all.deb", "later_1_all.deb", "partial"} {
		if err := unix.Mknod(filepath.Join(upper, name), unix.S_IFCHR, 0); err != nil {
			t.Fatal(err)
		}
	}
	// The running system downloads the package meanwhile.
	write(t, filepath.Join(d.cache, "replaced_1_all.deb.new"), "package")
	if err := os.Rename(filepath.Join(d.cache, "replaced_1_all.deb.new"), filepath.Join(d.cache, "replaced_1_all.deb")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.cache, "later_1_all.deb"), "package")
	d.check(l, Report{Removed: []string{"installed_1_all.deb"}})
	d.holds(map[string]string{"replaced_1_all.deb": "package", "later_1_all.deb": "package", "notes.txt": "package"})
}

// TestDamaged has a truncated package in the cache, which apt in the sandbox downloaded
// again. The correct file is kept, whichever side wrote it.
func TestDamaged(t *testing.T) {
	d := newDesk(t)
	write(t, filepath.Join(d.cache, d.describe("cut", "whole package")), "whole")
	l, upper := d.lend()
	for _, name := range []string{"cut_1_all.deb", d.describe("race", "whole package")} {
		write(t, filepath.Join(upper, name), "whole package")
	}
	write(t, filepath.Join(d.cache, "race_1_all.deb"), "still being written")
	d.check(l, Report{Kept: []string{"cut_1_all.deb"}})
	d.holds(map[string]string{"cut_1_all.deb": "whole package", "race_1_all.deb": "still being written"})
}

// A damaged file in the running system's cache is replaced only by the right file.
func TestDamagedStaysUntilReplaced(t *testing.T) {
	d := newDesk(t)
	name := d.describe("cut", "whole package")
	write(t, filepath.Join(d.cache, name), "whole")
	l, upper := d.lend()
	write(t, filepath.Join(upper, name), "forged packag")
	d.check(l, Report{Unknown: []string{name}})
	d.holds(map[string]string{name: "whole"})
}

// After some files with wrong content, CopyBack reads no further files.
func TestManyMistakes(t *testing.T) {
	d := newDesk(t)
	l, upper := d.lend()
	var names []string
	for i := range mostMistakes {
		name := d.describe(fmt.Sprintf("a%02d", i), "whole package")
		write(t, filepath.Join(upper, name), "forged packag")
		names = append(names, name)
	}
	good := d.describe("good", "whole package")
	write(t, filepath.Join(upper, good), "whole package")
	d.check(l, Report{Unknown: append(names, good)})
	d.holds(map[string]string{})
}

// TestCopied returns a cache whose file system cannot be the lower layer of an overlay.
func TestCopied(t *testing.T) {
	d := newDesk(t)
	l, upper := d.lend()
	copied := filepath.Join(filepath.Dir(upper), "copy")
	if err := os.Rename(upper, copied); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(copied, d.describe("good", "good package")), "good package")
	d.check(l, Report{Kept: []string{"good_1_all.deb"}})
	d.holds(map[string]string{"good_1_all.deb": "good package"})
}

// TestNeverStarted returns an unused loan.
func TestNeverStarted(t *testing.T) {
	d := newDesk(t)
	l, upper := d.lend()
	if err := os.Remove(upper); err != nil {
		t.Fatal(err)
	}
	d.check(l, Report{})
}

// TestCutOff removes the directories of interrupted runs, except those that are in use
// or are layers. No file of them is published.
func TestCutOff(t *testing.T) {
	d := newDesk(t)
	left, inUse := filepath.Join(d.scratch, prefix+"1/upper/dir"), filepath.Join(d.scratch, "%2Fsrv/upper")
	for _, dir := range []string{left, inUse} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := d.lend()
	second, _ := d.lend()
	if _, err := os.Lstat(filepath.Join(d.scratch, prefix+"1")); !os.IsNotExist(err) {
		t.Errorf("what was left is still there: %v", err)
	}
	layers, err := overlay.Layers(d.scratch, "/", "/")
	if err != nil || len(layers) != 1 || layers[0].Mount != "/srv" {
		t.Errorf("layers %+v, %v", layers, err)
	}
	for _, l := range []*Overlay{first, second} {
		if _, err := l.CopyBack(d.lists); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(d.scratch); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestLocked runs while an apt works in the running system's cache.
func TestLocked(t *testing.T) {
	d := newDesk(t)
	cache, err := os.Open(d.cache)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	lock, err := lockCache(cache, 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := lockCache(cache, time.Millisecond); err == nil {
		again.Close()
		t.Error("locked twice")
	}
	lock.Close()
	lock, err = lockCache(cache, 0)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

// TestWithoutUnnamedFiles uses a file system without O_TMPFILE.
func TestWithoutUnnamedFiles(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, temp := range []string{temporary, temporary} {
		f, err := os.OpenFile(filepath.Join(dir.Name(), temp), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		out := &newFile{File: f, cache: dir, temp: temp}
		if err := out.name("a"); err != nil && !os.IsExist(err) {
			t.Error(err)
		}
		out.remove()
	}
	if entries, err := os.ReadDir(dir.Name()); err != nil || len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("entries %v, %v", entries, err)
	}
}
