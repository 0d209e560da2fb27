package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// pair returns a root to change and a root to copy from.
func pair(t *testing.T) (c *Changer, to, from string) {
	t.Helper()
	target, to := open(t)
	source, from := open(t)
	return &Changer{To: target, From: source}, to, from
}

func (c *Changer) carry(t *testing.T, name string) {
	t.Helper()
	n := node(t, c.From, name)
	check(t, c.Copy(name, n, n.Attributes))
}

// list returns all paths in a directory, without etc.
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
	for range 2 { // the second time, onto equal files
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

// TestChangeFollowsNoLinks has links at places where directories are expected.
func TestChangeFollowsNoLinks(t *testing.T) {
	c, to, from := pair(t)
	plant(t, from, "d/file")
	outside := t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(to, "d")))
	n := node(t, c.From, "d/file")
	if err := c.Copy("d/file", n, n.Attributes); err == nil {
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
	plant(t, to, "file", unfinished+"file") // the second one belongs to a user
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
	wide := strings.Repeat("x", 200_000)
	for _, test := range []struct{ name, base, live, next, want string }{
		{"log", "1\n", "1\n2\n", "1\nupgrade\n", "1\nupgrade\n2\n"},
		{"rotated", "1\n", "new\n", "1\nupgrade\n", "upgrade\nnew\n"},
		{"rotated after a sync", "1\n2\n", "new\n", "1\nupgrade\n2\n", "upgrade\nnew\n"},
		{"rotated after two upgrades and a sync", "1\n2\n3\n", "new\n", "1\nupgrade\n2\nagain\n3\nmore\n", "upgrade\nagain\nmore\nnew\n"},
		{"rotated, with lines that are alike", "1\n1\n", "1\n", "1\n1\n1\n", "1\n1\n"},
		{"rotated in a line", "1\n2", "new\n", "1\n2 and more\nupgrade\n", " and more\nupgrade\nnew\n"},
		{"rotated on both", "1\n2\n", "new\n", "upgrade\n", "upgrade\nnew\n"},
		{"rotated there", "1\n", "1\n2\n", "upgrade\n", "upgrade\n2\n"},
		{"shorter", "1\n2\n", "1\n", "1\n2\nupgrade\n", "upgrade\n1\n"},
		{"empty", "1\n", "", "1\nupgrade\n", "upgrade\n"},
		{"long line", "1" + wide + "\n2\n", "new\n", "1" + wide + "\nupgrade" + wide + "\n2\n", "upgrade" + wide + "\nnew\n"},
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
	check(t, os.Remove(filepath.Join(from, "rotated")))
	check(t, os.WriteFile(filepath.Join(to, "rotated"), []byte("1\nupgrade\n"), 0o644))
	check(t, c.Append("rotated", merge.Attributes{Mode: 0o640, Owner: "me", Group: "mine"}))
	if got, err := os.ReadFile(filepath.Join(to, "rotated")); string(got) != "upgrade\n" {
		t.Errorf("rotated, and not made again, it holds %q, %v", got, err)
	}
	check(t, os.Remove(filepath.Join(was, "log")))
	check(t, os.WriteFile(filepath.Join(from, "log"), []byte("all\n"), 0o644))
	check(t, c.Append("log", merge.Attributes{Mode: 0o640, Owner: "me", Group: "mine"}))
	if got := node(t, c.To, "log").Size; got != int64(len("1\nupgrade\n2\nall\n")) {
		t.Errorf("without a base it has %d bytes", got)
	}
}

// TestBesideLongNames keeps files beside others whose names are too long for a suffix.
func TestBesideLongNames(t *testing.T) {
	if got := BesidePath("etc/motd", Aside); got != "etc/motd"+Aside {
		t.Errorf("beside motd is %s", got)
	}
	c, to, from := pair(t)
	names := map[string]bool{}
	for _, name := range []string{
		strings.Repeat("n", 255), strings.Repeat("n", 254) + "m", strings.Repeat("n", 244), strings.Repeat("ö", 127), strings.Repeat("\x80", 255),
	} {
		plant(t, from, "d/"+name)
		plant(t, to, "d/"+name)
		n := node(t, c.From, "d/"+name)
		check(t, c.CopyBeside("d/"+name, n))
		check(t, c.SetAside("d/"+name))
		for _, suffix := range []string{Aside, Beside} {
			beside := BesidePath("d/"+name, suffix)
			if len(filepath.Base(beside)) > 255 || !strings.HasSuffix(beside, suffix) || names[beside] || node(t, c.To, beside).Kind != merge.Regular {
				t.Errorf("beside %q is %q", name, beside)
			}
			if utf8.ValidString(name) && !utf8.ValidString(beside) {
				t.Errorf("%q ends within a letter", beside)
			}
			names[beside] = true
		}
	}
}

// TestSetAsideAgain sets files aside where an earlier file was set aside.
func TestSetAsideAgain(t *testing.T) {
	c, to, _ := pair(t)
	for range 2 {
		plant(t, to, "d/in", "f")
		check(t, c.SetAside("d"))
		check(t, c.SetAside("f"))
	}
	want := []string{"d" + Aside, "d" + Aside + "/in", "d" + Aside + "-2", "d" + Aside + "-2/in", "f" + Aside}
	if got := list(t, to); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestCarryTimes keeps the times of carried files, and of the directories that they are
// carried into or out of.
func TestCarryTimes(t *testing.T) {
	c, to, from := pair(t)
	plant(t, from, "d/new/file", "d/link>target", "d/file", "d/set")
	plant(t, to, "d/old", "d/set", "e/old")
	check(t, unix.Mkfifo(filepath.Join(from, "d/pipe"), 0o600))
	times := map[string]int64{}
	for i, name := range []string{"d/link", "d/pipe", "d/file", "d/new/file", "d/new"} {
		times[name] = int64(i+1) * 1e9
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(from, name), []unix.Timespec{{Sec: 9}, {Sec: int64(i + 1)}}, unix.AT_SYMLINK_NOFOLLOW))
	}
	for i, name := range []string{"d", "e"} {
		times[name] = int64(i+100) * 1e9
		check(t, os.Chtimes(filepath.Join(to, name), time.Time{}, time.Unix(0, times[name])))
	}
	for _, name := range []string{"d/link", "d/pipe", "d/file", "d/new/file"} {
		c.carry(t, name)
	}
	check(t, c.Remove("d/old"))
	check(t, c.SetAside("e/old"))
	times["d/set"] = 7
	c.SetTime("d/set", 7)
	check(t, c.Finish())
	for name, want := range times {
		if got := node(t, c.To, name).Modified; got != want {
			t.Errorf("%s is of %d, want %d", name, got, want)
		}
	}
}
