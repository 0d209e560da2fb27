package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newAssembler returns an assembler for a root with an /etc, and a directory outside of
// the root.
func newAssembler(t *testing.T) (a *assembler, outside string) {
	t.Helper()
	dir := t.TempDir()
	a, outside = &assembler{root: filepath.Join(dir, "root")}, filepath.Join(dir, "outside")
	check(t, os.MkdirAll(filepath.Join(a.root, "usr/sbin"), 0o755))
	check(t, os.Mkdir(outside, 0o755))
	return a, outside
}

func TestWritesStayInRoot(t *testing.T) {
	a, outside := newAssembler(t)
	check(t, os.Symlink("../../outside", filepath.Join(a.root, "relative")))
	check(t, os.Symlink(outside, filepath.Join(a.root, "absolute")))
	for _, path := range []string{"/relative/x", "/absolute/x", "/../outside/x"} {
		if err := a.write(path, nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("write %s = %v, want ErrNotExist", path, err)
		}
		if err := a.mkdir(path, 0o755); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("mkdir %s = %v, want ErrNotExist", path, err)
		}
	}
	check(t, os.Symlink(filepath.Join(outside, "y"), filepath.Join(a.root, "dangling")))
	if err := a.write("/dangling", nil, 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write through a link = %v, want ErrExist", err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) > 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

func TestMkdirIgnoresUmask(t *testing.T) {
	a, _ := newAssembler(t)
	for range 2 {
		check(t, a.mkdir("/lock", 0o1777))
	}
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(a.root, "lock"), &st))
	if st.Mode&0o7777 != 0o1777 {
		t.Errorf("mode is %o, want 1777", st.Mode&0o7777)
	}
}

func TestDangling(t *testing.T) {
	a, _ := newAssembler(t)
	check(t, os.MkdirAll(filepath.Join(a.root, "etc/resolvconf"), 0o755))
	check(t, os.Mkdir(filepath.Join(a.root, "var"), 0o755))
	link := func(target, name string) { check(t, os.Symlink(target, filepath.Join(a.root, name))) }
	link("/run", "var/run")
	link("/run/resolvconf", "etc/resolvconf/run")
	link("resolvconf/run/resolv.conf", "etc/by-a-directory")
	link("../run/systemd/resolve/stub-resolv.conf", "etc/relative")
	link("/var/run/NetworkManager/resolv.conf", "etc/var-run")
	link("../../../../run/x", "etc/above")
	link("relative", "etc/by-another")
	link("/usr/sbin", "etc/there")
	link("loop", "etc/loop")
	for path, want := range map[string]string{
		"/etc/by-a-directory": "/run/resolvconf/resolv.conf",
		"/etc/relative":       "/run/systemd/resolve/stub-resolv.conf",
		"/etc/var-run":        "/run/NetworkManager/resolv.conf",
		"/etc/above":          "/run/x",
		"/etc/by-another":     "/run/systemd/resolve/stub-resolv.conf",
		"/etc/none":           "/etc/none",
	} {
		if got, err := a.dangling(path); err != nil || got != want {
			t.Errorf("dangling(%s) = %q, %v, want %q", path, got, err, want)
		}
	}
	if _, err := a.dangling("/etc/there"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("of a link to something: %v, want ErrExist", err)
	}
	if _, err := a.dangling("/etc/loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("of a link to itself: %v, want ELOOP", err)
	}
}

func TestCleanUp(t *testing.T) {
	a, _ := newAssembler(t)
	file := filepath.Join(a.root, policyFile)
	stays := func(why string) {
		t.Helper()
		check(t, CleanUp(a.root))
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	check(t, CleanUp(a.root))
	check(t, os.WriteFile(file, nil, 0o755))
	stays("an executable file is not ours")
	check(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755))
	check(t, os.Chmod(file, 0))
	stays("a policy of the root's own is not ours")
	check(t, os.Remove(file))
	check(t, a.write(policyFile, nil, 0))
	check(t, CleanUp(a.root))
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a sandbox left stays: %v", err)
	}
}

func TestNoUnneededPolicy(t *testing.T) {
	a, _ := newAssembler(t)
	check(t, a.policy(&Spec{}))
	if _, err := os.Lstat(filepath.Join(a.root, policyFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a policy was made although none was asked for: %v", err)
	}
}

func TestCopyTree(t *testing.T) {
	src, dst := filepath.Join(t.TempDir(), "src"), filepath.Join(t.TempDir(), "deep", "dst")
	check(t, os.MkdirAll(filepath.Join(src, "EFI/debian"), 0o700))
	file := filepath.Join(src, "EFI/debian/grub.cfg")
	check(t, os.WriteFile(file, []byte("configuration"), 0o640))
	old := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	check(t, os.Chtimes(file, old, old))
	for range 2 { // the second time over the first file
		check(t, copyTree(src, dst))
	}
	copied := filepath.Join(dst, "EFI/debian/grub.cfg")
	content, err := os.ReadFile(copied)
	check(t, err)
	info, err := os.Stat(copied)
	check(t, err)
	if string(content) != "configuration" || info.Mode() != 0o640 || !info.ModTime().Equal(old) {
		t.Errorf("the copy holds %q, has mode %v and time %v", content, info.Mode(), info.ModTime())
	}
	check(t, os.Symlink("x", filepath.Join(src, "link")))
	if err := copyTree(src, dst); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("copyTree of a link = %v", err)
	}
}

func TestEscape(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/data":   "/srv/data",
		"/a,b":        `/a\,b`,
		"/a:b":        `/a\:b`,
		`/a\b`:        `/a\\b`,
		`/,:\`:        `/\,\:\\`,
		"/with blank": "/with blank",
	} {
		if got := escape(path); got != want {
			t.Errorf("escape(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestSameDirectory(t *testing.T) {
	like, dir := t.TempDir(), t.TempDir()
	check(t, unix.Chmod(like, 0o3770))
	check(t, sameDirectory(like, dir))
	var st unix.Stat_t
	check(t, unix.Stat(dir, &st))
	if st.Mode&0o7777 != 0o3770 {
		t.Errorf("mode is %o, want 3770", st.Mode&0o7777)
	}
	if err := sameDirectory(filepath.Join(like, "none"), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sameDirectory as nothing = %v, want ErrNotExist", err)
	}
}

func TestFindOthers(t *testing.T) {
	others, err := FindForeignMounts()
	check(t, err)
	seen := map[string]bool{}
	for _, share := range others.Show("@apt-be/scratch/x") {
		if share.Target == "/" || strings.HasPrefix(share.Target, "/proc") || strings.HasPrefix(share.Target, "/dev/") || seen[share.Target] {
			t.Errorf("%s is a share, or twice", share.Target)
		}
		seen[share.Target] = true
		if share.Scratch != "" && !strings.HasPrefix(share.Scratch, "@apt-be/scratch/x/") {
			t.Errorf("the scratch of %s is %s", share.Target, share.Scratch)
		}
		rest, err := FindForeignMounts(share.Target)
		check(t, err)
		for _, other := range rest.Show("") {
			if other.Target == share.Target || other.Scratch != "" {
				t.Errorf("with %s excluded and no scratch there is %+v", share.Target, other)
			}
		}
	}
}
