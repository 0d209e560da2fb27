package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/merge"
)

// pair is a root to change and one to take from.
func pair(t *testing.T) (c *Changer, to, from string) {
	t.Helper()
	target, to := open(t)
	source, from := open(t)
	return &Changer{To: target, From: source}, to, from
}

func (c *Changer) carry(t *testing.T, name string) {
	t.Helper()
	n := node(t, c.From, name)
	check(t, c.Carry(name, n, n.Attributes))
}

// list returns all paths in a directory but /etc.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	check(t, filepath.WalkDir(dir, func(file string, _ os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
		if name != "" && !strings.HasPrefix(name, "etc") {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func TestCarry(t *testing.T) {
	c, to, from := pair(t)
	plant(t, from, "file", "new/deep/file", "link>target", "over", "was-dir", "was-link/", "is-dir/")
	plant(t, to, "over/kept", "was-dir/", "was-link>/etc", "is-dir")
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	check(t, os.Chtimes(filepath.Join(from, "file"), old, old))
	check(t, os.Chmod(filepath.Join(from, "new"), 0o711))
	for _, name := range []string{"file", "new/deep/file", "link", "over", "was-dir", "was-link", "is-dir"} {
		c.carry(t, name)
		if got, want := node(t, c.To, name), node(t, c.From, name); !got.Same(want) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	if got, want := node(t, c.To, "new"), node(t, c.From, "new"); !got.Same(want) {
		t.Errorf("the directory above is %+v, want %+v", got, want)
	}
	got, err := os.ReadFile(filepath.Join(to, "new/deep/file"))
	check(t, err)
	if string(got) != "new/deep/file" {
		t.Errorf("the file holds %q", got)
	}
	info, err := os.Stat(filepath.Join(to, "file"))
	check(t, err)
	if !info.ModTime().Equal(old) {
		t.Errorf("its time is %v, want %v", info.ModTime(), old)
	}
	want := []string{"file", "is-dir", "link", "new", "new/deep", "new/deep/file", "over", "over" + Aside, "over" + Aside + "/kept", "was-dir", "was-link"}
	if got := list(t, to); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func TestCarryHardLinks(t *testing.T) {
	c, to, from := pair(t)
	plant(t, from, "one")
	check(t, os.Link(filepath.Join(from, "one"), filepath.Join(from, "two")))
	for range 2 { // once more, onto what is the same already
		c.carry(t, "one")
		c.carry(t, "two")
		if a, b := node(t, c.To, "one"), node(t, c.To, "two"); a.Inode != b.Inode {
			t.Errorf("two files: %+v, %+v", a, b)
		}
	}
	if got, want := list(t, to), []string{"one", "two"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestNoWayOut has links where directories are expected.
func TestNoWayOut(t *testing.T) {
	c, to, from := pair(t)
	plant(t, from, "d/file")
	outside := t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(to, "d")))
	n := node(t, c.From, "d/file")
	if err := c.Carry("d/file", n, n.Attributes); err == nil {
		t.Error("a file was made by way of a link")
	}
	plant(t, outside, "file")
	check(t, c.Remove("d/file"))
	check(t, c.SetAside("d/file"))
	if err := c.SetAttributes("d/file", n.Attributes); err == nil {
		t.Error("attributes were set by way of a link")
	}
	if got := list(t, outside); !slices.Equal(got, []string{"file"}) {
		t.Errorf("outside are %q", got)
	}
}

func TestRemove(t *testing.T) {
	c, to, _ := pair(t)
	plant(t, to, "d/e/file", "full/file", "link>full")
	for _, name := range []string{"d/e/file", "d/e", "d", "full", "link", "none", "none/deep", "full/file/below"} {
		check(t, c.Remove(name))
	}
	if got, want := list(t, to), []string{"full", "full/file"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

func TestWrite(t *testing.T) {
	c, to, _ := pair(t)
	plant(t, to, "file", unfinished+"file") // the second one is somebody's own
	a := merge.Attributes{Mode: 0o604, Owner: "me", Group: "mine"}
	check(t, c.Write("file", []byte("new"), a))
	if got := node(t, c.To, "file"); got.Size != 3 || got.Mode != 0o604 {
		t.Errorf("it is %+v", got)
	}
	a.Owner = "nobody"
	if err := c.Write("file", []byte("newer"), a); err == nil {
		t.Error("it belongs to somebody who isn't there")
	}
	if got, want := list(t, to), []string{unfinished + "file", "file"}; !slices.Equal(got, want) || node(t, c.To, "file").Size != 3 {
		t.Errorf("after an error there are %q, want %q", got, want)
	}
	check(t, c.SetAside("file"))
	if got, want := list(t, to), []string{unfinished + "file", "file" + Aside}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func TestAppend(t *testing.T) {
	c, to, from := pair(t)
	base, was := open(t)
	c.Base = base
	long := strings.Repeat("line\n", 100_000)
	for _, test := range []struct{ name, base, live, next, want string }{
		{"log", "1\n", "1\n2\n", "1\nupgrade\n", "1\nupgrade\n2\n"},
		{"rotated", "1\n", "new\n", "1\nupgrade\n", "1\nupgrade\nnew\n"},
		{"shorter", "1\n2\n", "1\n", "1\n2\nupgrade\n", "1\n2\nupgrade\n1\n"},
		{"empty", "1\n", "", "1\nupgrade\n", "1\nupgrade\n"},
		{"no line end", "", "2\n", "upgrade", "upgrade\n2\n"},
		{"in both", "1\n", "1\nupgrade\n2\n", "1\nupgrade\n", "1\nupgrade\n2\n"},
		{"large", long, long + "2\n", long + "upgrade\n", long + "upgrade\n2\n"},
	} {
		check(t, os.WriteFile(filepath.Join(was, test.name), []byte(test.base), 0o644))
		check(t, os.WriteFile(filepath.Join(from, test.name), []byte(test.live), 0o644))
		check(t, os.WriteFile(filepath.Join(to, test.name), []byte(test.next), 0o644))
		check(t, c.Append(test.name, merge.Attributes{Mode: 0o640, Owner: "me", Group: "mine"}))
		got, err := os.ReadFile(filepath.Join(to, test.name))
		check(t, err)
		if string(got) != test.want || node(t, c.To, test.name).Mode != 0o640 {
			t.Errorf("%s holds %.80q, want %.80q", test.name, got, test.want)
		}
	}
	check(t, os.Remove(filepath.Join(was, "log")))
	check(t, os.WriteFile(filepath.Join(from, "log"), []byte("all\n"), 0o644))
	check(t, c.Append("log", merge.Attributes{Mode: 0o640, Owner: "me", Group: "mine"}))
	if got := node(t, c.To, "log").Size; got != int64(len("1\nupgrade\n2\nall\n")) {
		t.Errorf("without a base it has %d bytes", got)
	}
}
