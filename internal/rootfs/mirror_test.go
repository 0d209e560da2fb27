package rootfs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/expect"
)

// mirror returns an empty tree as the mirror of a tree with these entries.
func mirror(t *testing.T, entries ...string) (m *Mirror, to, from string) {
	t.Helper()
	to, from = t.TempDir(), t.TempDir()
	plant(t, from, entries...)
	trees := make([]*Root, 2)
	for i, dir := range []string{to, from} {
		r, err := OpenTree(dir, "")
		check(t, err)
		t.Cleanup(func() { check(t, r.Close()) })
		trees[i] = r
	}
	return NewMirror(trees[0], trees[1]), to, from
}

// settle makes passes, with a clock that is an hour ahead, until nothing changes. It
// returns after the next tick of the kernel's clock, so that later changes have a later
// time.
func settle(t *testing.T, m *Mirror) {
	t.Helper()
	now := m.Now
	defer func() { m.Now = now }()
	m.Now = func() time.Time { return time.Now().Add(time.Hour) }
	for n := range 3 {
		changed, err := m.Pass(context.Background())
		check(t, err)
		if len(changed) == 0 {
			check(t, m.Finish())
			expect.NextTick(t)
			return
		}
		if n == 2 {
			t.Fatalf("after %d passes there still changes %q", n+1, changed)
		}
	}
}

func wantContent(t *testing.T, file, want string) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", file, got, err, want)
	}
}

func TestMirrorCopiesAllFiles(t *testing.T) {
	m, to, from := mirror(t, "deep/er/file", "link>deep/er/file", "broken>/nowhere", "empty/", "first")
	check(t, os.Link(filepath.Join(from, "first"), filepath.Join(from, "deep/second")))
	check(t, unix.Mkfifo(filepath.Join(from, "pipe"), 0o600))
	check(t, unix.Mknod(filepath.Join(from, "socket"), unix.S_IFSOCK|0o666, 0))
	check(t, os.Chmod(filepath.Join(from, "deep"), 0o2750))
	check(t, os.Chmod(from, 0o1777))
	old := time.Date(2020, 2, 2, 2, 2, 2, 222, time.UTC)
	for _, name := range []string{"deep/er/file", "deep/er", "deep", "empty", "."} {
		check(t, os.Chtimes(filepath.Join(from, name), old, old))
	}
	settle(t, m)
	for _, name := range []string{".", "deep", "deep/er", "deep/er/file", "link", "broken", "empty", "first", "deep/second", "pipe", "socket"} {
		var a, b unix.Stat_t
		check(t, unix.Lstat(filepath.Join(from, name), &a))
		check(t, unix.Lstat(filepath.Join(to, name), &b))
		if name == "." {
			a.Mtim, b.Mtim = unix.Timespec{}, unix.Timespec{} // its entries were created
		}
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Mtim != b.Mtim || a.Mode&unix.S_IFMT != unix.S_IFDIR && a.Nlink != b.Nlink {
			t.Errorf("%s is %o %d:%d %v %d, and its copy %o %d:%d %v %d", name,
				a.Mode, a.Uid, a.Gid, a.Mtim, a.Nlink, b.Mode, b.Uid, b.Gid, b.Mtim, b.Nlink)
		}
	}
	wantContent(t, filepath.Join(to, "deep/er/file"), "deep/er/file")
}

func TestMirrorFollowsChanges(t *testing.T) {
	m, to, from := mirror(t, "same", "changed", "gone", "dir/gone", "becomes-file/x", "becomes-dir", "one")
	check(t, os.Link(filepath.Join(from, "one"), filepath.Join(from, "two")))
	settle(t, m)
	before := m.Fingerprint()
	var same unix.Stat_t
	check(t, unix.Lstat(filepath.Join(to, "same"), &same))

	check(t, os.WriteFile(filepath.Join(from, "changed"), []byte("2"), 0o600))
	check(t, os.Remove(filepath.Join(from, "gone")))
	check(t, os.RemoveAll(filepath.Join(from, "dir")))
	check(t, os.RemoveAll(filepath.Join(from, "becomes-file")))
	check(t, os.Remove(filepath.Join(from, "becomes-dir")))
	plant(t, from, "becomes-file", "becomes-dir/y", "new/z")
	check(t, os.WriteFile(filepath.Join(from, "two"), []byte("changed"), 0o600))
	if changed, err := m.Changed(); err != nil || !slices.Contains(changed, "one") || !slices.Contains(changed, "dir/gone") || slices.Contains(changed, "same") {
		t.Errorf("Changed = %q, %v", changed, err)
	}
	settle(t, m)

	wantContent(t, filepath.Join(to, "changed"), "2")
	wantContent(t, filepath.Join(to, "becomes-file"), "becomes-file")
	wantContent(t, filepath.Join(to, "becomes-dir/y"), "becomes-dir/y")
	wantContent(t, filepath.Join(to, "one"), "changed")
	entries, err := os.ReadDir(to)
	check(t, err)
	if len(entries) != 7 {
		t.Errorf("there are %v", entries)
	}
	var one, two, now unix.Stat_t
	check(t, unix.Lstat(filepath.Join(to, "one"), &one))
	check(t, unix.Lstat(filepath.Join(to, "two"), &two))
	check(t, unix.Lstat(filepath.Join(to, "same"), &now))
	if one.Ino != two.Ino || now.Ino != same.Ino {
		t.Errorf("one and two are %d and %d; same was %d and is %d", one.Ino, two.Ino, same.Ino, now.Ino)
	}
	if m.Fingerprint() == before {
		t.Error("its fingerprint did not change")
	}
	if now, err := m.from.Fingerprint(); err != nil || now != m.Fingerprint() {
		t.Errorf("the tree's fingerprint is %s, %v, and the mirror's %s", now, err, m.Fingerprint())
	}
}

// TestMirrorCopiesYoungFilesAgain checks that a file is copied again until its last
// change is so old that the next one would have a later time.
func TestMirrorCopiesYoungFilesAgain(t *testing.T) {
	m, to, from := mirror(t, "file")
	var stat unix.Stat_t
	check(t, unix.Lstat(filepath.Join(from, "file"), &stat))
	changed := time.Unix(stat.Ctim.Unix())
	for _, pass := range []struct {
		age  time.Duration
		want bool
	}{{0, true}, {settled - 1, true}, {settled - 1, true}, {settled, true}, {settled, false}} {
		m.Now = func() time.Time { return changed.Add(pass.age) }
		copied, err := m.Pass(context.Background())
		check(t, err)
		if slices.Contains(copied, "file") != pass.want {
			t.Errorf("with an age of %v, Pass copied %q", pass.age, copied)
		}
	}
	wantContent(t, filepath.Join(to, "file"), "file")
}

// A file that was created and deleted between two passes leaves nothing in the mirror.
func TestMirrorOfShortLivedFile(t *testing.T) {
	m, to, from := mirror(t, "old")
	_, err := m.Pass(context.Background())
	check(t, err)
	plant(t, from, "young")
	_, err = m.Pass(context.Background())
	check(t, err)
	wantContent(t, filepath.Join(to, "young"), "young")
	check(t, os.Remove(filepath.Join(from, "young")))
	settle(t, m)
	if _, err := os.Lstat(filepath.Join(to, "young")); err == nil {
		t.Error("it is still there")
	}
}

func TestClear(t *testing.T) {
	r, dir := open(t)
	plant(t, dir, "full/deep/file", "full/link>/etc", "stays")
	check(t, r.Clear("full"))
	check(t, r.Clear("none"))
	if names, err := r.Names("."); err != nil || !slices.Equal(names, []string{"etc", "stays"}) {
		t.Errorf("there are %q, %v", names, err)
	}
	check(t, r.Clear("."))
	if names, err := r.Names("."); err != nil || len(names) > 0 {
		t.Errorf("there are %q, %v", names, err)
	}
}
