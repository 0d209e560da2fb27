package storetest

import (
	"os"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

func testSnapshot(t *testing.T, s store.Store) {
	create(t, s, "@a")
	write(t, s, "@a/etc/file", "old")
	check(t, os.Symlink("file", s.Path("@a/etc/link")))
	check(t, s.Snapshot("@a", "@be/new", false))
	check(t, s.Snapshot("@a", "@be-base/new", true))

	origin, fresh, base := get(t, s, "@a"), get(t, s, "@be/new"), get(t, s, "@be-base/new")
	if fresh.ReadOnly || !base.ReadOnly {
		t.Errorf("read-only: snapshot %v, base %v, want false, true", fresh.ReadOnly, base.ReadOnly)
	}
	for _, snapshot := range []store.Subvolume{fresh, base} {
		if snapshot.ParentUUID != origin.UUID || snapshot.UUID == origin.UUID || snapshot.ID == origin.ID {
			t.Errorf("snapshot %+v of %+v", snapshot, origin)
		}
	}

	write(t, s, "@a/etc/file", "of the origin")
	write(t, s, "@be/new/etc/file", "of the snapshot")
	write(t, s, "@be/new/etc/added", "")
	checkContent(t, s, "@a/etc/file", "of the origin")
	checkContent(t, s, "@be/new/etc/link", "of the snapshot")
	checkContent(t, s, "@be-base/new/etc/link", "old")
	checkGone(t, s, "@a/etc/added")

	// A snapshot of a read-only one, and one of the top level.
	check(t, s.Snapshot("@be-base/new", "@again", false))
	if again := get(t, s, "@again"); again.ReadOnly || again.ParentUUID != base.UUID {
		t.Errorf("snapshot %+v of %+v", again, base)
	}
	write(t, s, "top", "x")
	check(t, s.Snapshot(".", "@top", true))
	checkContent(t, s, "@top/top", "x")
}

func testSnapshotErrors(t *testing.T, s store.Store) {
	create(t, s, "@a", "@b", "@a/nested")
	write(t, s, "@a/dir/file", "x")
	checkIs(t, "Snapshot of nothing", s.Snapshot("@nothing", "@x/y", false), store.ErrNotFound)
	checkIs(t, "Snapshot of a directory", s.Snapshot("@a/dir", "@x/y", false), store.ErrNotSubvolume)
	checkIs(t, "Snapshot of a file", s.Snapshot("@a/dir/file", "@x/y", false), store.ErrNotSubvolume)
	checkGone(t, s, "@x")

	check(t, os.Mkdir(s.Path("empty"), 0o755))
	for _, dst := range []string{"@b", "@a", "empty", "@a/dir", "@a/dir/file"} {
		checkIs(t, "Snapshot to "+dst, s.Snapshot("@a", dst, false), store.ErrExists)
		checkGone(t, s, dst+"/@a")
	}
	checkIs(t, "Snapshot below a file", s.Snapshot("@a", "@a/dir/file/x", false), store.ErrBadPath)

	// A snapshot inside of its own source does not contain itself.
	check(t, s.Snapshot("@a", "@a/snapshots/first", false))
	checkContent(t, s, "@a/snapshots/first/dir/file", "x")
	checkGone(t, s, "@a/snapshots/first/snapshots/first")
}

func testSnapshotLeavesOutNested(t *testing.T, s store.Store) {
	create(t, s, "@a", "@a/var/lib/machines")
	write(t, s, "@a/var/lib/machines/file", "x")
	check(t, s.Snapshot("@a", "@b", false))
	entries, err := os.ReadDir(s.Path("@b/var/lib/machines"))
	if err != nil || len(entries) != 0 {
		t.Errorf("in the place of the nested one are %v, %v, want an empty directory", entries, err)
	}
	_, err = s.Get("@b/var/lib/machines")
	checkIs(t, "Get in the place of a nested one", err, store.ErrNotSubvolume)
	got, err := s.Nested("@b")
	checkPaths(t, "Nested in the snapshot", got, err)
	got, err = s.List("@b/var/lib")
	checkPaths(t, "List in the snapshot", got, err)
	check(t, s.Delete("@b"))
	checkContent(t, s, "@a/var/lib/machines/file", "x")
}

func testReadOnly(t *testing.T, s store.Store) {
	checkIs(t, "SetReadOnly of nothing", s.SetReadOnly("@a", true), store.ErrNotFound)
	create(t, s, "@a")
	check(t, os.Mkdir(s.Path("@a/dir"), 0o755))
	checkIs(t, "SetReadOnly of a directory", s.SetReadOnly("@a/dir", true), store.ErrNotSubvolume)
	for _, readOnly := range []bool{true, true, false, false} {
		check(t, s.SetReadOnly("@a", readOnly))
		if got := get(t, s, "@a").ReadOnly; got != readOnly {
			t.Errorf("after SetReadOnly(%v) ReadOnly is %v", readOnly, got)
		}
	}
	write(t, s, "@a/dir/file", "x")
}

func testGeneration(t *testing.T, s store.Store) {
	create(t, s, "@a", "@b")
	check(t, s.Sync())
	before, other := get(t, s, "@a").Generation, get(t, s, "@b").Generation
	write(t, s, "@a/file", "x")
	check(t, s.Sync())
	after := get(t, s, "@a").Generation
	if after <= before {
		t.Errorf("generation was %d, and is %d after a change", before, after)
	}
	if got := get(t, s, "@b").Generation; got != other {
		t.Errorf("generation of an unchanged one was %d, and is %d", other, got)
	}
	check(t, s.Snapshot("@a", "@c", false))
	check(t, s.Sync())
	if a, c := get(t, s, "@a").Generation, get(t, s, "@c").Generation; a != c || a <= after {
		t.Errorf("after a snapshot generations are %d of the origin (before: %d) and %d", a, after, c)
	}
	if a, c := get(t, s, "@a").Generation, get(t, s, "@c").OTransID; a != c {
		t.Errorf("the snapshot was made in generation %d, and its origin then had %d", c, a)
	}
	made := get(t, s, "@c").OTransID
	checkContent(t, s, "@a/file", "x")
	check(t, s.Sync())
	if a, c := get(t, s, "@a").Generation, get(t, s, "@c").Generation; a != c {
		t.Errorf("reading changes the generation: %d, %d", a, c)
	}
	write(t, s, "@c/file", "y")
	check(t, s.Sync())
	if c := get(t, s, "@c"); c.OTransID != made || c.Generation <= made {
		t.Errorf("it was made in generation %d, and then in %d and changed in %d", made, c.OTransID, c.Generation)
	}
}

func testChanged(t *testing.T, s store.Store) {
	create(t, s, "@a")
	write(t, s, "@a/dir/old", "x")
	write(t, s, "@a/dir/gone", "x")
	check(t, s.Snapshot("@a", "@base", true))
	since := get(t, s, "@base").OTransID
	write(t, s, "@a/dir/old", "y")
	write(t, s, "@a/new", "x")
	check(t, os.Remove(s.Path("@a/dir/gone")))
	check(t, os.Link(s.Path("@a/dir/old"), s.Path("@a/link")))
	check(t, s.Sync())
	got, err := s.Changed("@a", since)
	check(t, err)
	for _, want := range []string{".", "dir", "dir/old", "new", "link"} {
		if !slices.Contains(got, want) {
			t.Errorf("changed are %q, without %s", got, want)
		}
	}
	if slices.Contains(got, "dir/gone") {
		t.Error("what is gone has changed")
	}
	_, err = s.Changed("@none", since)
	checkIs(t, "Changed of nothing", err, store.ErrNotFound)
	_, err = s.Changed("@a/dir", since)
	checkIs(t, "Changed of a directory", err, store.ErrNotSubvolume)
}

func testRename(t *testing.T, s store.Store) {
	create(t, s, "@be/.new-1", "@be/.new-1/var/lib/machines")
	write(t, s, "@be/.new-1/file", "x")
	before := get(t, s, "@be/.new-1")
	check(t, s.Rename("@be/.new-1", "@be/a"))
	after := get(t, s, "@be/a")
	if after.UUID != before.UUID || after.ID != before.ID || !after.Created.Equal(before.Created) {
		t.Errorf("renamed %+v, was %+v", after, before)
	}
	checkGone(t, s, "@be/.new-1")
	checkContent(t, s, "@be/a/file", "x")
	got, err := s.Nested("@be/a")
	checkPaths(t, "Nested after a rename", got, err, "@be/a/var/lib/machines")

	check(t, s.Rename("@be/a", "elsewhere/deep/a b\nc"))
	if got := get(t, s, "elsewhere/deep/a b\nc"); got.UUID != before.UUID {
		t.Errorf("moved %+v, was %+v", got, before)
	}
	create(t, s, "@other")
	check(t, s.Rename("elsewhere/deep/a b\nc/var/lib/machines", "@other/machines"))
	got, err = s.Nested("@other")
	checkPaths(t, "Nested after a move into it", got, err, "@other/machines")
	create(t, s, "@be/.new-1")
	if get(t, s, "@be/.new-1").UUID == before.UUID {
		t.Error("a new subvolume has the UUID of one that was renamed")
	}
}

func testRenameErrors(t *testing.T, s store.Store) {
	create(t, s, "@a", "@b")
	write(t, s, "@a/dir/file", "x")
	write(t, s, "file", "x")
	check(t, os.Mkdir(s.Path("empty"), 0o755))
	checkIs(t, "Rename of nothing", s.Rename("@nothing", "@x/y"), store.ErrNotFound)
	checkIs(t, "Rename of a directory", s.Rename("@a/dir", "@x/y"), store.ErrNotSubvolume)
	checkIs(t, "Rename of a file", s.Rename("file", "@x/y"), store.ErrNotSubvolume)
	checkGone(t, s, "@x")
	for _, to := range []string{"@b", "@a", "empty", "file"} {
		checkIs(t, "Rename to "+to, s.Rename("@a", to), store.ErrExists)
	}
	checkIs(t, "Rename into itself", s.Rename("@a", "@a/x"), store.ErrBadPath)
	checkIs(t, "Rename to below a file", s.Rename("@a", "file/x"), store.ErrBadPath)
	checkContent(t, s, "@a/dir/file", "x")
	checkContent(t, s, "file", "x")
}

func testRenameReadOnly(t *testing.T, s store.Store) {
	create(t, s, "@a")
	check(t, s.Snapshot("@a", "@be-base/.new-1", true))
	check(t, s.Rename("@be-base/.new-1", "@be-base/a"))
	if !get(t, s, "@be-base/a").ReadOnly {
		t.Error("a rename made it writable")
	}
	checkIs(t, "Rename to another directory", s.Rename("@be-base/a", "@b"), store.ErrReadOnly)
	get(t, s, "@be-base/a")
	checkGone(t, s, "@b")
}

func testExchange(t *testing.T, s store.Store) {
	create(t, s, "@be/a", "@be/a/var/lib/machines", "@b")
	write(t, s, "@be/a/file", "a")
	write(t, s, "@b/file", "b")
	a, b := get(t, s, "@be/a"), get(t, s, "@b")
	check(t, s.Exchange("@be/a", "@b"))
	if got := get(t, s, "@b").UUID; got != a.UUID {
		t.Errorf("at @b is %s, want %s", got, a.UUID)
	}
	if got := get(t, s, "@be/a").UUID; got != b.UUID {
		t.Errorf("at @be/a is %s, want %s", got, b.UUID)
	}
	checkContent(t, s, "@b/file", "a")
	checkContent(t, s, "@be/a/file", "b")
	got, err := s.Nested("@b")
	checkPaths(t, "Nested after an exchange", got, err, "@b/var/lib/machines")

	check(t, s.Snapshot("@b", "@be/fixed", true))
	check(t, s.Snapshot("@b", "@be/other", true))
	check(t, s.Exchange("@be/fixed", "@be/other"))
	checkIs(t, "Exchange of a read-only one with another directory's", s.Exchange("@be/fixed", "@b"), store.ErrReadOnly)
	checkIs(t, "Exchange with nothing", s.Exchange("@b", "@none"), store.ErrNotFound)
	checkIs(t, "Exchange with a file", s.Exchange("@b", "@be/a/file"), store.ErrNotSubvolume)
	checkIs(t, "Exchange with what is in it", s.Exchange("@b", "@b/var/lib/machines"), store.ErrBadPath)
	checkIs(t, "Exchange with itself", s.Exchange("@b", "@b"), store.ErrBadPath)
	checkContent(t, s, "@b/file", "a")
}

func testDelete(t *testing.T, s store.Store) {
	create(t, s, "@a", "@keep", "@a/x", "@a/x/dir/with space/line\nbreak", "@a/x/dir/with space/line\nbreak/third")
	write(t, s, "@a/x/dir/with space/line\nbreak/third/file", "x")
	check(t, s.Snapshot("@a", "@a/snapshot", true))
	for _, p := range []string{"@a/x/dir/with space/line\nbreak/third", "@a/x/dir/with space/line\nbreak", "@a/x", "@a"} {
		check(t, s.SetReadOnly(p, true))
	}
	id := get(t, s, "@a").ID
	check(t, s.Delete("@a"))
	checkGone(t, s, "@a")
	got, err := s.Nested(".")
	checkPaths(t, "Nested(.) after Delete", got, err, "@keep")
	create(t, s, "@a")
	if get(t, s, "@a").ID == id {
		t.Errorf("id %d was used again", id)
	}
}

func testDeleteErrors(t *testing.T, s store.Store) {
	create(t, s, "@a")
	write(t, s, "@a/dir/file", "x")
	checkIs(t, "Delete of nothing", s.Delete("@nothing"), store.ErrNotFound)
	checkIs(t, "Delete of a directory", s.Delete("@a/dir"), store.ErrNotSubvolume)
	checkIs(t, "Delete of a file", s.Delete("@a/dir/file"), store.ErrNotSubvolume)
	checkContent(t, s, "@a/dir/file", "x")
}
