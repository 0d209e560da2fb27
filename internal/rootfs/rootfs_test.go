package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a root file system in which the caller's account is called me.
func open(t *testing.T) (r *Root, dir string) {
	t.Helper()
	dir = t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "etc"), 0o755))
	id := func(name string, number int) string {
		return name + ":x:" + strconv.Itoa(number) + ":0::/:/bin/sh\n"
	}
	check(t, os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(id("me", os.Getuid())+id("again", os.Getuid())+"+::::::\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "etc/group"), []byte(id("mine", os.Getgid())), 0o644))
	r, err := Open(dir)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	return r, dir
}

// plant creates files that contain their own names, "name/" and "name>target".
func plant(t *testing.T, dir string, entries ...string) {
	t.Helper()
	for _, e := range entries {
		name := filepath.Join(dir, e)
		switch {
		case strings.HasSuffix(e, "/"):
			check(t, os.MkdirAll(name, 0o755))
		case strings.Contains(e, ">"):
			name, target, _ := strings.Cut(name, ">")
			check(t, os.Symlink(target, name))
		default:
			check(t, os.MkdirAll(filepath.Dir(name), 0o755))
			check(t, os.WriteFile(name, []byte(e), 0o640))
			check(t, os.Chmod(name, 0o640))
		}
	}
}

func node(t *testing.T, r *Root, name string) merge.Node {
	t.Helper()
	n, err := r.Node(name)
	check(t, err)
	return n
}

func TestNode(t *testing.T) {
	r, dir := open(t)
	plant(t, dir, "d/file", "d/link>file", "d/broken>/nowhere", "out>/etc", "odd\nname")
	check(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	check(t, os.Link(filepath.Join(dir, "d/file"), filepath.Join(dir, "other")))
	own := merge.Attributes{Mode: 0o640, Owner: "me", Group: "mine"}
	for name, want := range map[string]merge.Node{
		"d/file":        {Kind: merge.Regular, Attributes: own},
		"odd\nname":     {Kind: merge.Regular, Attributes: own},
		"d/link":        {Kind: merge.Symlink, Content: "file", Attributes: merge.Attributes{Owner: "me", Group: "mine"}},
		"d/broken":      {Kind: merge.Symlink, Content: "/nowhere", Attributes: merge.Attributes{Owner: "me", Group: "mine"}},
		"pipe":          {Kind: merge.Special, Content: "10000 0:0", Attributes: merge.Attributes{Mode: 0o600, Owner: "me", Group: "mine"}},
		"none":          {},
		"d/file/below":  {},
		"out/passwd":    {}, // not through a link
		"d/link/../../": {Kind: merge.Directory, Attributes: node(t, r, ".").Attributes},
	} {
		if name == "d/link/../../" {
			name = "."
		}
		got := node(t, r, name)
		got.Inode, got.Size = 0, 0
		if !got.Same(want) {
			t.Errorf("%q is %+v, want %+v", name, got, want)
		}
	}
	if a, b := node(t, r, "d/file"), node(t, r, "other"); a.Inode != b.Inode || a.Size != int64(len("d/file")) {
		t.Errorf("two names of one file: %+v, %+v", a, b)
	}
	if _, err := r.Node("../etc"); err == nil {
		t.Error("there is a way out")
	}
	for name, want := range map[string][]string{"d": {"broken", "file", "link"}, "none": nil, "out": nil, "d/file": nil} {
		if got, err := r.Names(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("in %s are %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestXattrs(t *testing.T) {
	r, dir := open(t)
	plant(t, dir, "file")
	long := strings.Repeat("x", 1000)
	if err := unix.Setxattr(filepath.Join(dir, "file"), "user.long", []byte(long), 0); err != nil {
		t.Skipf("this file system has no extended attributes: %v", err)
	}
	check(t, unix.Setxattr(filepath.Join(dir, "file"), "user.empty", nil, 0))
	got := node(t, r, "file").Xattrs
	if len(got) != 2 || got["user.long"] != long || got["user.empty"] != "" {
		t.Errorf("the attributes are %q", got)
	}
}

func TestSame(t *testing.T) {
	a, dirA := open(t)
	b, dirB := open(t)
	size := 300 << 10
	for _, test := range []struct {
		one, other string
		want       bool
	}{
		{"x", "x", true},
		{"x", "y", false},
		{strings.Repeat("x", size), strings.Repeat("x", size), true},
		{strings.Repeat("x", size), strings.Repeat("x", size-1) + "y", false},
		{strings.Repeat("\x00", size), strings.Repeat("\x00", size), true},
	} {
		check(t, os.WriteFile(filepath.Join(dirA, "f"), []byte(test.one), 0o644))
		check(t, os.WriteFile(filepath.Join(dirB, "f"), []byte(test.other), 0o644))
		if got, err := Same("f", a, b); err != nil || got != test.want {
			t.Errorf("Same of %.3q and %.3q = %t, %v", test.one, test.other, got, err)
		}
	}
	check(t, os.Remove(filepath.Join(dirB, "f")))
	if _, err := Same("f", a, b); err == nil {
		t.Error("a file that isn't there is compared")
	}
}

func TestParseNames(t *testing.T) {
	n := parseNames([]byte("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n+@nis:x:5:5:::\nbad:x:many:0:::\nroot:x:7:7:::\n\nshort:x\n"))
	for id, want := range map[uint32]string{0: "root", 5: "5", 7: "root"} {
		if got := n.name(id); got != want {
			t.Errorf("%d is %s, want %s", id, got, want)
		}
	}
	for name, want := range map[string]uint32{"root": 0, "toor": 0, "1234": 1234} {
		if got, err := n.number(name); err != nil || got != want {
			t.Errorf("%s has %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := n.number("nobody"); err == nil {
		t.Error("an account that there isn't has a number")
	}
}
