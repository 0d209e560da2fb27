package storetest

import (
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

func testSnapshotOver(t *testing.T, s store.Store) {
	create(t, s, "@a", "@a/var/lib/machines", "@a/var/lib/machines/web")
	write(t, s, "@a/var/lib/machines/file", "x")
	check(t, s.Snapshot("@a", "@b", false))
	check(t, s.SnapshotOver("@a/var/lib/machines", "@b/var/lib/machines", false))
	check(t, s.SnapshotOver("@a/var/lib/machines/web", "@b/var/lib/machines/web", true))
	origin, copied := get(t, s, "@a/var/lib/machines"), get(t, s, "@b/var/lib/machines")
	if copied.ParentUUID != origin.UUID || copied.ReadOnly {
		t.Errorf("snapshot %+v of %+v", copied, origin)
	}
	if web := get(t, s, "@b/var/lib/machines/web"); !web.ReadOnly {
		t.Errorf("snapshot %+v, want a read-only one", web)
	}
	checkContent(t, s, "@b/var/lib/machines/file", "x")

	check(t, os.Mkdir(s.Path("@b/empty"), 0o700)) // any empty directory works
	check(t, s.SnapshotOver("@a/var/lib/machines", "@b/empty", false))
	checkContent(t, s, "@b/empty/file", "x")
}

func testEmptyOver(t *testing.T, s store.Store) {
	create(t, s, "@a", "@a/swap", "@b")
	write(t, s, "@a/swap/file", "x")
	check(t, os.Chmod(s.Path("@a/swap"), 0o700))
	check(t, os.Mkdir(s.Path("@b/swap"), 0o755))
	check(t, s.EmptyOver("@a/swap", "@b/swap"))
	if made := get(t, s, "@b/swap"); made.ParentUUID != "" || made.ReadOnly {
		t.Errorf("made %+v", made)
	}
	info, err := os.Stat(s.Path("@b/swap"))
	check(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if entries, err := os.ReadDir(s.Path("@b/swap")); err != nil || len(entries) > 0 {
		t.Errorf("there are %v, %v", entries, err)
	}
	checkIs(t, "EmptyOver a subvolume", s.EmptyOver("@a/swap", "@b/swap"), store.ErrExists)
	checkIs(t, "EmptyOver nothing", s.EmptyOver("@a/swap", "@b/none"), store.ErrNotFound)
	checkIs(t, "EmptyOver like nothing", s.EmptyOver("@a/none", "@b/none"), store.ErrNotFound)
}

func testSnapshotOverErrors(t *testing.T, s store.Store) {
	create(t, s, "@a", "@b", "@b/subvolume")
	write(t, s, "@a/etc/file", "x")
	write(t, s, "@a/file", "x")
	write(t, s, "@b/full/file", "x")
	check(t, os.MkdirAll(s.Path("@a/etc/directory"), 0o755))
	check(t, os.Mkdir(s.Path("@b/empty"), 0o755))
	for link, target := range map[string]string{
		"@b/up": "../@a/etc", "@b/absolute": s.Path("@a/etc"), "@b/last": "../@a/etc/directory", "@b/dangling": "nothing",
	} {
		check(t, os.Symlink(target, s.Path(link)))
	}
	for _, tt := range []struct {
		dst  string
		want error
	}{
		{"@b/none", store.ErrNotFound},
		{"@b/none/deeper", store.ErrNotFound},
		{"@b/full/file/deeper", store.ErrNotFound},
		{"@b/full", store.ErrExists},
		{"@b/full/file", store.ErrExists},
		{"@b/subvolume", store.ErrExists},
		{"@b", store.ErrExists},
		{"@b/last", store.ErrExists},
		{"@b/dangling", store.ErrExists},
		{"@b/up/file", store.ErrBadPath},
		{"@b/up/directory", store.ErrBadPath},
		{"@b/absolute/file", store.ErrBadPath},
		{"@b/absolute/directory", store.ErrBadPath},
		{".", store.ErrBadPath},
		{"../b", store.ErrBadPath},
		{"/@b/empty", store.ErrBadPath},
	} {
		checkIs(t, "SnapshotOver "+tt.dst, s.SnapshotOver("@a", tt.dst, false), tt.want)
	}
	checkIs(t, "SnapshotOver of nothing", s.SnapshotOver("@nothing", "@b/empty", false), store.ErrNotFound)
	checkIs(t, "SnapshotOver of a directory", s.SnapshotOver("@a/etc", "@b/empty", false), store.ErrNotSubvolume)
	checkIs(t, "SnapshotOver of a link", s.SnapshotOver("@b/up", "@b/empty", false), store.ErrNotSubvolume)

	for _, file := range []string{"@a/etc/file", "@a/file", "@b/full/file"} {
		checkContent(t, s, file, "x")
	}
	for _, dir := range []string{"@a/etc/directory", "@b/empty"} {
		if info, err := os.Lstat(s.Path(dir)); err != nil || !info.IsDir() {
			t.Errorf("%s is %v, %v, want it to be left", dir, info, err)
		}
		_, err := s.Get(dir)
		checkIs(t, "Get "+dir, err, store.ErrNotSubvolume)
	}
	get(t, s, "@b/subvolume")
}
