package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	unified = "35 26 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	hybrid  = "35 26 0:30 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n" +
		"36 35 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n" +
		"37 35 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n"
	ancient   = "37 35 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n"
	readonly  = "35 26 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"
	contained = "35 26 0:30 /machine/one /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n"
	above     = "35 26 0:30 /../.. /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
	elsewhere = "35 26 0:30 / /sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw\n36 26 0:30 / /mnt/my\\040groups rw,relatime - cgroup2 cgroup2 rw\n"
)

func TestPlaceOf(t *testing.T) {
	for name, c := range map[string]struct{ groups, mounts, own, parent string }{
		"a session":                 {"0::/user.slice/user-0.slice/session-3.scope\n", unified, "/sys/fs/cgroup/user.slice/user-0.slice/session-3.scope", "/sys/fs/cgroup/user.slice/user-0.slice"},
		"a service":                 {"0::/system.slice/apt-daily-upgrade.service\n", unified, "/sys/fs/cgroup/system.slice/apt-daily-upgrade.service", "/sys/fs/cgroup/system.slice"},
		"beside process 1":          {"0::/init.scope\n", unified, "/sys/fs/cgroup/init.scope", "/sys/fs/cgroup"},
		"no init system with them":  {"0::/\n", unified, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		"both versions":             {"4:memory:/user.slice\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/user.slice/user-0.slice/session-3.scope\n", hybrid, "/sys/fs/cgroup/unified/user.slice/user-0.slice/session-3.scope", "/sys/fs/cgroup/unified/user.slice/user-0.slice"},
		"a part of the tree":        {"0::/machine/one/shell\n", contained, "/sys/fs/cgroup/shell", "/sys/fs/cgroup"},
		"the root of a part":        {"0::/machine/one\n", contained, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		"another part":              {"0::/machine/one2/shell\n", contained, "", ""},
		"version 1 alone":           {"4:memory:/\n", ancient, "", ""},
		"none mounted":              {"0::/\n", ancient, "", ""},
		"read-only":                 {"0::/\n", readonly, "", ""},
		"read-only, and once not":   {"0::/a/b\n", elsewhere, "/mnt/my groups/a/b", "/mnt/my groups/a"},
		"outside of its name space": {"0::/../session-3.scope\n", unified, "", ""},
		"a name space of its own":   {"0::/\n", above, "", ""},
		"nothing":                   {"", "", "", ""},
	} {
		got, err := placeOf(c.groups, c.mounts)
		if got != (place{c.own, c.parent}) || (err == nil) != (c.parent != "") || err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %+v, %v; want %s in %s", name, got, err, c.own, c.parent)
		}
	}
}

func TestRemoveStale(t *testing.T) {
	parent := filepath.Join(t.TempDir(), `a\x2db [c]`)
	for _, name := range []string{"apt-be-sandbox-gone", "apt-be-sandbox-held", "apt-be-sandbox-lives/member", "session-3.scope"} {
		if err := os.MkdirAll(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(parent, "apt-be-sandbox-held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	removeStale(parent)
	left, err := filepath.Glob(filepath.Join(escape(parent), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if got := strings.Join(left, " "); got != "apt-be-sandbox-held apt-be-sandbox-lives session-3.scope" {
		t.Errorf("left: %s", got)
	}
}

func TestNameRefusesPath(t *testing.T) {
	for _, name := range []string{"", "a/b", "../a", "a\n"} {
		if g, err := Make(name, Limits{}); err == nil {
			t.Errorf("%q: made %v", name, g)
		}
	}
}

func TestPopulated(t *testing.T) {
	for text, want := range map[string]bool{"populated 0\nfrozen 1": false, "populated 1\nfrozen 0": true, "frozen 0\npopulated 0": false, "": true} {
		if got := populated(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
