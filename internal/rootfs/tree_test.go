package rootfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWholeTrees copies, compares and removes directories that are too deep for a path,
// with fewer descriptors than levels.
func TestWholeTrees(t *testing.T) {
	const depth = 400
	var limit unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	t.Cleanup(func() { check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(limit.Cur, 200), Max: limit.Max}))

	source, target := t.TempDir(), t.TempDir()
	check(t, os.Mkdir(filepath.Join(source, "deep"), 0o755))
	at, err := unix.Open(filepath.Join(source, "deep"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	for range depth {
		check(t, unix.Mkdirat(at, "d", 0o750))
		next, err := unix.Openat(at, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, err)
		unix.Close(at)
		at = next
	}
	bottom := os.NewFile(uintptr(at), "bottom")
	defer bottom.Close()
	f, err := create(bottom, "file")
	check(t, err)
	check(t, f.Close())
	check(t, unix.Linkat(at, "file", at, "linked", 0))

	from, err := OpenTree(source, "")
	check(t, err)
	defer from.Close()
	to, err := OpenTree(target, "")
	check(t, err)
	defer to.Close()
	node, err := from.Node("deep")
	check(t, err)
	for range 2 { // the second time it replaces the first copy
		c := &Changer{To: to, From: from}
		check(t, c.CopyTree("deep", node, node.Attributes))
		check(t, c.Finish())
		if same, err := Same("deep", from, to); !same || err != nil {
			t.Errorf("the copy is the same: %v, %v", same, err)
		}
		if names, err := to.Names("."); err != nil || len(names) != 1 {
			t.Errorf("there are %q, %v", names, err)
		}
	}
	check(t, unix.Fchmodat(at, "file", 0o640, 0))
	if same, err := Same("deep", from, to); same || err != nil {
		t.Errorf("what was changed is the same: %v, %v", same, err)
	}
	check(t, (&Changer{To: to, From: from}).RemoveTree("deep"))
	check(t, from.Clear("."))
	for _, r := range []*Root{from, to} {
		if names, err := r.Names("."); err != nil || len(names) > 0 {
			t.Errorf("%q are left, %v", names, err)
		}
	}
}

// TestOwners has directories and files of several accounts.
func TestOwners(t *testing.T) {
	for uid, want := range map[uint32]bool{0: false, 105: false, 999: false, 1000: true, 60_000: true, 61_184: false, 65_534: false, 65_535: false, 65_536: true, 100_000: true} {
		if got := isUser(uid); got != want {
			t.Errorf("%d is a user: %v", uid, got)
		}
	}
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "open"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "open/file"), nil, 0o600))
	r, err := OpenTree(dir, "")
	check(t, err)
	defer r.Close()
	mine := os.Geteuid() != 0
	if r.MayBeUsers("open/file") != mine || r.MayBeUsers("none") != false {
		t.Error("in a closed directory it may be others'")
	}
	check(t, os.Chmod(filepath.Join(dir, "open"), 0o777|os.ModeSticky))
	if !r.MayBeUsers("open/file") || !r.MayBeUsers("open/none") || r.IsUsers("open/file") != isUser(uint32(os.Geteuid())) {
		t.Error("in an open directory it is not others'")
	}
}
