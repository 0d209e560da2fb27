package storetest

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/store"
)

func testGet(t *testing.T, s store.Store) {
	_, err := s.Get("@nothing")
	checkIs(t, "Get of nothing", err, store.ErrNotFound)
	_, err = s.Get("@nothing/deeper")
	checkIs(t, "Get below nothing", err, store.ErrNotFound)

	create(t, s, "@a")
	write(t, s, "@a/dir/file", "x")
	for _, p := range []string{"@a/dir", "@a/dir/file"} {
		_, err := s.Get(p)
		checkIs(t, "Get "+p, err, store.ErrNotSubvolume)
	}
	_, err = s.Get("@a/dir/file/deeper")
	checkIs(t, "Get below a file", err, store.ErrNotFound)

	got := get(t, s, "@a")
	if got.Path != "@a" || got.ReadOnly || got.ParentUUID != "" || got.ID < 256 {
		t.Errorf("Get = %+v", got)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(got.UUID) {
		t.Errorf("UUID = %q", got.UUID)
	}
	if age := time.Since(got.Created); age < -time.Minute || age > time.Hour {
		t.Errorf("Created = %v, which is %v ago", got.Created, age)
	}
	create(t, s, "@b")
	if other := get(t, s, "@b"); other.ID == got.ID || other.UUID == got.UUID {
		t.Errorf("two subvolumes are the same: %+v, %+v", got, other)
	}
	if s.Device() == "" {
		t.Error("Device is empty")
	}
}

func testTopLevel(t *testing.T, s store.Store) {
	create(t, s, "@a", "@b/c")
	if got := get(t, s, "."); got.Path != "." || got.ID != 5 {
		t.Errorf("Get(.) = %+v, want id 5", got)
	}
	got, err := s.List(".")
	checkPaths(t, "List(.)", got, err, "@a")
	got, err = s.Nested(".")
	checkPaths(t, "Nested(.)", got, err, "@a", "@b/c")
	checkIs(t, "Create(.)", s.Create("."), store.ErrBadPath)
	checkIs(t, "Delete(.)", s.Delete("."), store.ErrBadPath)
	checkIs(t, "Rename(.)", s.Rename(".", "@x"), store.ErrBadPath)
	checkIs(t, "Rename to .", s.Rename("@a", "."), store.ErrBadPath)
	checkIs(t, "Snapshot to .", s.Snapshot("@a", ".", false), store.ErrBadPath)
}

func testBadPaths(t *testing.T, s store.Store) {
	create(t, s, "@a")
	for _, p := range []string{"", "/", "/@a", "@a/", "@a/.", "./@a", "@b//c", "..", "../@a", "@b/../@a", "a\x00b"} {
		_, err := s.Get(p)
		checkIs(t, "Get", err, store.ErrBadPath)
		_, err = s.List(p)
		checkIs(t, "List", err, store.ErrBadPath)
		_, err = s.Nested(p)
		checkIs(t, "Nested", err, store.ErrBadPath)
		checkIs(t, "Create", s.Create(p), store.ErrBadPath)
		checkIs(t, "Snapshot from", s.Snapshot(p, "@x", false), store.ErrBadPath)
		checkIs(t, "Snapshot to", s.Snapshot("@a", p, false), store.ErrBadPath)
		checkIs(t, "SetReadOnly", s.SetReadOnly(p, true), store.ErrBadPath)
		checkIs(t, "Rename from", s.Rename(p, "@x"), store.ErrBadPath)
		checkIs(t, "Rename to", s.Rename("@a", p), store.ErrBadPath)
		checkIs(t, "Delete", s.Delete(p), store.ErrBadPath)
	}
	get(t, s, "@a")
	checkGone(t, s, "@x")
}

func testSymbolicLinks(t *testing.T, s store.Store) {
	create(t, s, "@a", "@a/nested")
	check(t, os.Symlink("@a", s.Path("link")))
	_, err := s.Get("link")
	checkIs(t, "Get of a link", err, store.ErrNotSubvolume)
	checkIs(t, "Delete of a link", s.Delete("link"), store.ErrNotSubvolume)
	checkIs(t, "Rename of a link", s.Rename("link", "@x"), store.ErrNotSubvolume)
	checkIs(t, "SetReadOnly of a link", s.SetReadOnly("link", true), store.ErrNotSubvolume)
	checkIs(t, "Snapshot of a link", s.Snapshot("link", "@x", false), store.ErrNotSubvolume)
	checkIs(t, "Create over a link", s.Create("link"), store.ErrExists)
	checkIs(t, "Snapshot over a link", s.Snapshot("@a", "link", false), store.ErrExists)
	checkIs(t, "Rename over a link", s.Rename("@a", "link"), store.ErrExists)

	_, err = s.Get("link/nested")
	checkIs(t, "Get through a link", err, store.ErrBadPath)
	_, err = s.List("link")
	checkIs(t, "List of a link", err, store.ErrBadPath)
	checkIs(t, "Delete through a link", s.Delete("link/nested"), store.ErrBadPath)
	checkIs(t, "Create through a link", s.Create("link/x"), store.ErrBadPath)
	checkIs(t, "Snapshot through a link", s.Snapshot("@a", "link/x", false), store.ErrBadPath)
	get(t, s, "@a/nested")
}

func testCreate(t *testing.T, s store.Store) {
	create(t, s, "@be/deep/a b\nc")
	if info, err := os.Stat(s.Path("@be/deep/a b\nc")); err != nil || info.Mode() != os.ModeDir|0o755 {
		t.Errorf("a new subvolume is %v, %v", info, err)
	}
	_, err := s.Get("@be/deep")
	checkIs(t, "Get of the directory above", err, store.ErrNotSubvolume)
	write(t, s, "file", "x")
	for _, p := range []string{"@be/deep/a b\nc", "@be", "file"} {
		checkIs(t, "Create over "+p, s.Create(p), store.ErrExists)
	}
	checkIs(t, "Create below a file", s.Create("file/x"), store.ErrBadPath)
	checkContent(t, s, "file", "x")
	if err := s.Create("@be/" + strings.Repeat("x", 256)); err == nil {
		t.Error("Create with a name of 256 bytes succeeds")
	}
	check(t, s.Create("@be/"+strings.Repeat("x", 255)))
}

func testList(t *testing.T, s store.Store) {
	got, err := s.List("@be")
	checkPaths(t, "List of nothing", got, err)
	create(t, s, "@be/b", "@be/a", "@be/.new-1", "@be/a/nested", "@be/c c\n", "@other")
	check(t, os.Mkdir(s.Path("@be/directory"), 0o755))
	write(t, s, "@be/file", "")
	got, err = s.List("@be")
	checkPaths(t, "List(@be)", got, err, "@be/.new-1", "@be/a", "@be/b", "@be/c c\n")
	if len(got) > 1 && got[1] != get(t, s, "@be/a") {
		t.Errorf("List has %+v, Get has %+v", got[1], get(t, s, "@be/a"))
	}
	got, err = s.List("@be/a")
	checkPaths(t, "List of a subvolume", got, err, "@be/a/nested")
}

func testLocate(t *testing.T, s store.Store) {
	create(t, s, "@rootfs", "@rootfs/var/lib/machines")
	write(t, s, "@rootfs/etc/fstab", "")
	write(t, s, "@rootfs/var/lib/machines/file", "")
	check(t, os.Symlink("machines/file", s.Path("@rootfs/var/lib/link")))
	tests := []struct{ file, want string }{
		{"@rootfs", "@rootfs"},
		{"@rootfs/etc", "@rootfs"},
		{"@rootfs/etc/fstab", "@rootfs"},
		{"@rootfs/var/lib/machines", "@rootfs/var/lib/machines"},
		{"@rootfs/var/lib/machines/file", "@rootfs/var/lib/machines"},
		{"@rootfs/var/lib/link", "@rootfs/var/lib/machines"},
		{".", "."},
	}
	for _, tt := range tests {
		got, err := s.Locate(s.Path(tt.file))
		check(t, err)
		if got != get(t, s, tt.want) {
			t.Errorf("Locate(%q) = %+v, want %+v", tt.file, got, get(t, s, tt.want))
		}
	}
	_, err := s.Locate("/proc")
	checkIs(t, "Locate of a file elsewhere", err, store.ErrUnsupported)
	_, err = s.Locate(filepath.Join(s.Path("@rootfs"), "nothing"))
	checkIs(t, "Locate of nothing", err, os.ErrNotExist)
	_, err = s.Locate("etc/fstab")
	checkIs(t, "Locate of a relative path", err, store.ErrBadPath)
	if errors.Is(err, store.ErrUnsupported) {
		t.Errorf("Locate of a relative path = %v", err)
	}
}

func testNested(t *testing.T, s store.Store) {
	_, err := s.Nested("@nothing")
	checkIs(t, "Nested in nothing", err, store.ErrNotFound)
	create(t, s, "@a", "@b")
	got, err := s.Nested("@a")
	checkPaths(t, "Nested in an empty one", got, err)

	// Three levels, in plain directories of each; @a/x-y must not come between @a/x and
	// its content.
	create(t, s, "@a/x", "@a/x-y", "@a/x/dir/with space/line\nbreak", "@a/x/dir/with space/line\nbreak/third",
		"@a/var/lib/machines", "@b/other")
	got, err = s.Nested("@a")
	checkPaths(t, "Nested(@a)", got, err, "@a/var/lib/machines", "@a/x", "@a/x/dir/with space/line\nbreak",
		"@a/x/dir/with space/line\nbreak/third", "@a/x-y")
	for _, subvolume := range got {
		if subvolume != get(t, s, subvolume.Path) {
			t.Errorf("Nested has %+v, Get has %+v", subvolume, get(t, s, subvolume.Path))
		}
	}
	got, err = s.Nested("@a/x/dir/with space/line\nbreak")
	checkPaths(t, "Nested(second level)", got, err, "@a/x/dir/with space/line\nbreak/third")
	_, err = s.Nested("@a/x/dir")
	checkIs(t, "Nested in a directory", err, store.ErrNotSubvolume)

	// More than one batch of the kernel's answer.
	var want []string
	for i := range 40 {
		want = append(want, "@b/"+strings.Repeat("n", 200)+string(rune('A'+i)))
	}
	create(t, s, want...)
	got, err = s.Nested("@b")
	checkPaths(t, "Nested(@b)", got, err, append(want, "@b/other")...)
}

// testFree writes random data: a file system may store no zeros.
func testFree(t *testing.T, s store.Store) {
	before, err := s.Free()
	check(t, err)
	const size = 8 << 20
	if !before.Holds(size, 0) {
		t.Errorf("an empty store has no space for %d bytes: %+v", size, before)
	}
	create(t, s, "@a")
	content := make([]byte, size)
	_, _ = rand.Read(content)
	write(t, s, "@a/file", string(content))
	check(t, s.Sync())
	after, err := s.Free()
	check(t, err)
	if after.DataBeside(0)+size > before.DataBeside(0) {
		t.Errorf("after %d bytes were written, %d bytes are free of %d", size, after.DataBeside(0), before.DataBeside(0))
	}
	check(t, s.Delete("@a"))
	check(t, s.WaitForDeletions(t.Context()))
	settled, err := s.Free()
	check(t, err)
	if settled.DataBeside(0) < after.DataBeside(0)+size {
		t.Errorf("after %d bytes were deleted, %d bytes are free; before: %d", size, settled.DataBeside(0), after.DataBeside(0))
	}
}

func testPathStaysInside(t *testing.T, s store.Store) {
	create(t, s, "@a")
	if !filepath.IsAbs(s.Path("@a")) {
		t.Errorf("Path(@a) = %q, want an absolute name", s.Path("@a"))
	}
	for _, p := range []string{"../@a", "/@a", "x/../../../@a"} {
		if s.Path(p) != s.Path("@a") {
			t.Errorf("Path(%q) = %q, want %q", p, s.Path(p), s.Path("@a"))
		}
	}
}
