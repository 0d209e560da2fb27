package btrfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// driftLab is a root, its base, and an environment.
type driftLab struct {
	*testing.T
	store                 *btrfs.Store
	running, target, base string // directories
	sides                 drift.Sides
}

const (
	driftPasswd = "root:x:0:0:root:/root:/bin/bash\nal:x:1000:1000::/home/al:/bin/sh\nbo:x:1001:1001::/home/bo:/bin/sh\n"
	driftShadow = "root:r:1:0:99999:7:::\nal:a:1:0:99999:7:::\nbo:b:1:0:99999:7:::\n"
	driftGroup  = "root:x:0:\nadm:x:4:al\nal:x:1000:\nbo:x:1001:\n"
	driftStatus = "Package: pkg\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nConffiles:\n /etc/pkg.conf d41d8cd98f00b204e9800998ecf8427e\n"
	driftList   = "/.\n/etc\n/etc/pkg.conf\n/usr\n/usr/bin\n/usr/bin/pkg\n"
)

func newDriftLab(t *testing.T) driftLab {
	t.Helper()
	s, _ := newStore(t, 512<<20)
	storeMust(t, s.Create("root"))
	l := driftLab{T: t, store: s, running: s.Path("root")}
	l.fill()
	storeMust(t, s.Snapshot("root", "base", true))
	storeMust(t, s.Snapshot("base", "be", false))
	l.base, l.target = s.Path("base"), s.Path("be")
	be, err := s.Get("be")
	storeMust(t, err)
	l.sides = drift.Sides{Base: "base", Running: "root", Target: "be", ForkGeneration: be.OTransID}
	return l
}

// fill creates the common files of both sides.
func (l driftLab) fill() {
	l.Helper()
	for name, content := range map[string]string{
		"etc/passwd": driftPasswd, "etc/shadow": driftShadow, "etc/group": driftGroup,
		"etc/hosts": "127.0.0.1 localhost\n", "etc/pkg.conf": "1\n", "etc/motd": "1\n", "etc/gone": "1\n",
		"var/lib/dpkg/status": driftStatus, "var/lib/dpkg/info/pkg.list": driftList,
		"var/log/syslog": "1\n", "var/mail/al": "first\n", "var/lib/db/data": "rows\n", "var/lib/both/data": "rows\n",
		"usr/bin/pkg": "1\n", "home/al/moved/deep/file": "x", "home/al/acl": "x", "home/al/cap": "x",
	} {
		l.write(l.running, name, content)
	}
	storeMust(l.T, os.Chmod(filepath.Join(l.running, "etc/shadow"), 0o640))
}

func (l driftLab) write(dir, name, content string) {
	l.Helper()
	file := filepath.Join(dir, name)
	storeMust(l.T, os.MkdirAll(filepath.Dir(file), 0o755))
	storeMust(l.T, os.WriteFile(file, []byte(content), 0o644))
}

func (l driftLab) add(dir, name, content string) {
	l.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
	storeMust(l.T, err)
	_, err = f.WriteString(content)
	storeMust(l.T, err)
	storeMust(l.T, f.Close())
}

func (l driftLab) find() *drift.Drift {
	l.Helper()
	d, err := drift.Find(l.store, l.sides, merge.DefaultRules())
	storeMust(l.T, err)
	return d
}

func (l driftLab) wantFile(name, want string) {
	l.Helper()
	got, err := os.ReadFile(filepath.Join(l.target, name))
	if err != nil || string(got) != want {
		l.Errorf("%s holds %.200q, %v; want %.200q", name, got, err, want)
	}
}

// upgrade changes the environment as an upgrade could: a package has a user of its own,
// with a number that the running system also assigned.
func (l driftLab) upgrade() {
	l.add(l.target, "etc/passwd", "_pkg:x:102:102::/var/lib/pkg:/usr/sbin/nologin\n")
	l.add(l.target, "etc/shadow", "_pkg:!:2::::::\n")
	l.add(l.target, "etc/group", "_pkg:x:102:\n")
	l.write(l.target, "var/lib/pkg/own", "x")
	storeMust(l.T, os.Chown(filepath.Join(l.target, "var/lib/pkg/own"), 102, 102))
	storeMust(l.T, os.Chmod(filepath.Join(l.target, "var/lib/pkg/own"), os.ModeSetuid|0o755))
	l.write(l.target, "etc/pkg.conf", "2\n")
	l.write(l.target, "usr/bin/pkg", "2\n")
	l.add(l.target, "etc/hosts", "10.0.0.2 two\n")
	l.add(l.target, "var/log/syslog", "upgrade\n")
	l.add(l.target, "var/lib/dpkg/status", "\n")
}

// nextDay changes files of the running system.
func (l driftLab) nextDay() {
	l.write(l.running, "etc/passwd", strings.Replace(driftPasswd, "bo:x:1001:1001::/home/bo:/bin/sh\n", "mon:x:102:102::/:/bin/sh\n", 1))
	l.write(l.running, "etc/shadow", "root:R:2:0:99999:7:::\nal:!a:1:0:99999:7:::\nmon:m:2:0:99999:7:::\n")
	l.write(l.running, "etc/group", "root:x:0:\nadm:x:4:al,mon\nal:x:1000:\nmon:x:102:\n")
	l.add(l.running, "etc/pkg.conf", "admin\n")
	l.add(l.running, "etc/hosts", "10.0.0.3 three\n")
	l.add(l.running, "var/log/syslog", "2\n3\n")
	l.add(l.running, "var/mail/al", "second\n")
	l.add(l.running, "var/lib/db/data", "more\n")
	l.write(l.running, "usr/bin/pkg", "patched\n")
	l.write(l.running, "home/mon/own", "x")
	storeMust(l.T, os.Chown(filepath.Join(l.running, "home/mon/own"), 102, 102))
	storeMust(l.T, os.Remove(filepath.Join(l.running, "etc/gone")))
	storeMust(l.T, os.Remove(filepath.Join(l.running, "etc/motd")))
	storeMust(l.T, os.Symlink("/run/motd", filepath.Join(l.running, "etc/motd")))
	storeMust(l.T, os.Rename(filepath.Join(l.running, "home/al/moved"), filepath.Join(l.running, "home/al/here")))
	storeMust(l.T, unix.Setxattr(filepath.Join(l.running, "home/al/acl"), "user.note", []byte("x"), 0))
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	storeMust(l.T, unix.Setxattr(filepath.Join(l.running, "home/al/cap"), "security.capability", []byte(capability), 0))
}

// TestDrift carries the running system's changes to an environment with a package's
// changes, twice.
func TestDrift(t *testing.T) {
	l := newDriftLab(t)
	if d := l.find(); len(d.Changes) > 0 {
		t.Fatalf("nothing happened, and there are %+v", d.Changes)
	}
	l.upgrade()
	if d := l.find(); len(d.Changes) > 0 {
		t.Fatalf("nothing happened in the running system, and there are %+v", d.Changes)
	}
	l.nextDay()
	d := l.find()
	if refused := d.Refused(); len(refused) > 0 {
		t.Fatalf("refused are %+v", refused)
	}
	storeMust(t, d.Apply(l.store, l.sides))

	l.wantFile("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nal:x:1000:1000::/home/al:/bin/sh\n_pkg:x:103:103::/var/lib/pkg:/usr/sbin/nologin\nmon:x:102:102::/:/bin/sh\n")
	l.wantFile("etc/shadow", "root:R:2:0:99999:7:::\nal:!a:1:0:99999:7:::\n_pkg:!:2::::::\nmon:m:2:0:99999:7:::\n")
	l.wantFile("etc/group", "root:x:0:\nadm:x:4:al,mon\nal:x:1000:\n_pkg:x:103:\nmon:x:102:\n")
	l.wantFile("etc/hosts", "127.0.0.1 localhost\n10.0.0.2 two\n10.0.0.3 three\n")
	l.wantFile("etc/pkg.conf", "1\nadmin\n")
	l.wantFile("etc/pkg.conf"+rootfs.Aside, "2\n")
	l.wantFile("usr/bin/pkg", "2\n")
	l.wantFile("usr/bin/pkg"+rootfs.Beside, "patched\n")
	l.wantFile("var/log/syslog", "1\nupgrade\n2\n3\n")
	l.wantFile("var/mail/al", "first\nsecond\n")
	l.wantFile("var/lib/db/data", "rows\nmore\n")
	l.wantFile("var/lib/dpkg/status", driftStatus+"\n")
	l.wantFile("home/al/here/deep/file", "x")
	for _, name := range []string{"etc/gone", "home/al/moved"} {
		if _, err := os.Lstat(filepath.Join(l.target, name)); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	for name, want := range map[string][3]uint32{
		"etc/shadow":      {0, 0, 0o640},
		"var/lib/pkg/own": {103, 103, 0o4755},
		"home/mon/own":    {102, 102, 0o644},
	} {
		var st unix.Stat_t
		storeMust(t, unix.Lstat(filepath.Join(l.target, name), &st))
		if got := [3]uint32{st.Uid, st.Gid, st.Mode & 0o7777}; got != want {
			t.Errorf("%s has %o, want %o", name, got, want)
		}
	}
	for name, attribute := range map[string]string{"home/al/acl": "user.note", "home/al/cap": "security.capability"} {
		if _, err := unix.Lgetxattr(filepath.Join(l.target, name), attribute, nil); err != nil {
			t.Errorf("%s has no %s: %v", name, attribute, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(l.target, "etc/motd")); target != "/run/motd" {
		t.Errorf("/etc/motd leads to %q, %v", target, err)
	}

	left := l.find().Changes
	left = slices.DeleteFunc(left, func(c drift.Change) bool { return !c.Decision.Changes(c.Target) })
	var paths []string
	for _, c := range left {
		paths = append(paths, c.Path)
	}
	if !slices.Equal(paths, []string{"usr/bin/pkg", "var/log/syslog"}) {
		t.Errorf("to be done again are %q", paths)
	}
}

// TestDriftSharesData carries a large file that is written in place, and another one.
func TestDriftSharesData(t *testing.T) {
	l := newDriftLab(t)
	const size = 64 << 20
	db := filepath.Join(l.running, "var/lib/nocow")
	storeMust(t, os.Mkdir(db, 0o755))
	f, err := os.Open(db)
	storeMust(t, err)
	// FS_NOCOW_FL (linux/fs.h)
	storeMust(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x800000))
	storeMust(t, f.Close())
	content := strings.Repeat("0123456789abcdef", size/16)
	l.write(l.running, "var/lib/nocow/data", content)
	l.write(l.running, "var/lib/cow/data", content)
	storeMust(t, l.store.Sync())
	before := l.free()
	storeMust(t, l.find().Apply(l.store, l.sides))
	storeMust(t, l.store.Sync())
	if used := before - l.free(); used > size/4 {
		t.Errorf("%d bytes were written", used)
	}
	l.wantFile("var/lib/nocow/data", content)
	l.wantFile("var/lib/cow/data", content)
}

func (l driftLab) free() int64 {
	l.Helper()
	var st unix.Statfs_t
	storeMust(l.T, unix.Statfs(l.running, &st))
	return int64(st.Bfree) * st.Bsize
}

// TestDriftOfSubvolumes changes a nested subvolume that the environment lacks, and
// creates one.
func TestDriftOfSubvolumes(t *testing.T) {
	l := newDriftLab(t)
	storeMust(t, l.store.Create("root/var/lib/machines"))
	storeMust(t, l.store.Create("root/var/lib/quiet"))
	storeMust(t, l.store.Snapshot("root", "base2", true))
	storeMust(t, l.store.Snapshot("base2", "be2", false))
	be, err := l.store.Get("be2")
	storeMust(t, err)
	l.sides = drift.Sides{Base: "base2", Running: "root", Target: "be2", LeftOut: []string{"/var/lib/machines", "/var/lib/quiet"}, ForkGeneration: be.OTransID}
	l.write(l.running, "var/lib/machines/m", "x")
	storeMust(t, l.store.Create("root/srv/new"))
	l.write(l.running, "srv/new/file", "x")
	fates := map[string]drift.Outcome{}
	for _, c := range l.find().Changes {
		fates[c.Path] = c.Outcome()
	}
	if fates["var/lib/machines"] != drift.Skipped || fates["srv/new"] != drift.Carried || fates["var/lib/quiet"] != "" {
		t.Errorf("the fates are %v", fates)
	}
}

// TestDriftRefusesNumbers has the running system change a user's number.
func TestDriftRefusesNumbers(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.running, "etc/passwd", strings.Replace(driftPasswd, "al:x:1000:", "al:x:2000:", 1))
	if refused := l.find().Refused(); len(refused) != 1 || refused[0].Path != "etc/passwd" {
		t.Errorf("refused are %+v", refused)
	}
}

// TestDriftRefuses changes data on both sides.
func TestDriftRefuses(t *testing.T) {
	l := newDriftLab(t)
	l.add(l.running, "var/lib/both/data", "live\n")
	l.add(l.target, "var/lib/both/data", "migrated\n")
	d := l.find()
	refused := d.Refused()
	if len(refused) != 1 || refused[0].Path != "var/lib/both/data" {
		t.Fatalf("refused are %+v", refused)
	}
	if err := d.Apply(l.store, l.sides); err == nil {
		t.Error("it was carried over")
	}
	l.wantFile("var/lib/both/data", "rows\nmigrated\n")
}

// TestDriftOfSkippedFile changes a file of the running system that an earlier sync did
// not carry. Only the change after the new base is drift, and it is refused.
func TestDriftOfSkippedFile(t *testing.T) {
	l := newDriftLab(t)
	l.add(l.running, "var/lib/db/data", "left\n")
	storeMust(t, l.store.Snapshot("root", "base2", true))
	l.sides.Base = "base2"
	if d := l.find(); len(d.Changes) > 0 {
		t.Fatalf("nothing happened since, and there are %+v", d.Changes)
	}
	l.add(l.running, "var/lib/db/data", "again\n")
	if refused := l.find().Refused(); len(refused) != 1 || refused[0].Path != "var/lib/db/data" {
		t.Errorf("refused are %+v", refused)
	}
}

// TestDriftReadsNoSharedData reads all files first, like a backup.
func TestDriftReadsNoSharedData(t *testing.T) {
	l := newDriftLab(t)
	const files, size = 200, 16 << 10
	for i := range files {
		l.write(l.running, fmt.Sprintf("srv/%d", i), strings.Repeat(fmt.Sprintf("%8d", i), size/8))
	}
	storeMust(t, l.store.Snapshot("root", "base2", true))
	l.sides.Base = "base2"
	for i := range files {
		storeMust(t, os.Chtimes(filepath.Join(l.running, fmt.Sprintf("srv/%d", i)), time.Now(), time.Time{}))
	}
	before := bytesRead(t)
	if d := l.find(); len(d.Changes) > 0 {
		t.Errorf("nothing happened, and there are %+v", d.Changes)
	}
	if n := bytesRead(t) - before; n > files*size/4 {
		t.Errorf("%d bytes were read", n)
	}
}

// bytesRead returns the number of bytes that this process has read from files
// (proc_pid_io(5)).
func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	io, err := os.ReadFile("/proc/self/io")
	storeMust(t, err)
	_, err = fmt.Sscanf(string(io), "rchar: %d", &n)
	storeMust(t, err)
	return n
}

// TestDriftIntoDeletedDirectories changes files whose directories the environment has
// deleted.
func TestDriftIntoDeletedDirectories(t *testing.T) {
	l := newDriftLab(t)
	const files = 400
	name := func(i int) string { return fmt.Sprintf("srv/%d/in/%d", i/4, i) }
	for i := range files {
		l.write(l.running, name(i), "1\n")
	}
	storeMust(t, l.store.Snapshot("root", "base2", true))
	storeMust(t, l.store.Snapshot("base2", "be2", false))
	be, err := l.store.Get("be2")
	storeMust(t, err)
	l.target = l.store.Path("be2")
	l.sides = drift.Sides{Base: "base2", Running: "root", Target: "be2", ForkGeneration: be.OTransID}
	storeMust(t, os.RemoveAll(filepath.Join(l.target, "srv")))
	for i := range files {
		l.add(l.running, name(i), "2\n")
	}
	storeMust(t, l.find().Apply(l.store, l.sides))
	for i := range files {
		l.wantFile(name(i), "1\n2\n")
	}
}

// TestDriftOfLockedFiles carries over files that nobody can change (chattr(1)), to
// where such a one was before, and with two names.
func TestDriftOfLockedFiles(t *testing.T) {
	l := newDriftLab(t)
	const immutable = 0x10 // FS_IMMUTABLE_FL
	flags := func(file string, lock bool) int {
		t.Helper()
		f, err := os.Open(file)
		storeMust(t, err)
		defer f.Close()
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		storeMust(t, err)
		if lock {
			storeMust(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|immutable))
		}
		return flags
	}
	l.write(l.running, "etc/motd", "2\n")
	l.write(l.running, "srv/one", "x")
	storeMust(t, os.Link(filepath.Join(l.running, "srv/one"), filepath.Join(l.running, "srv/two")))
	flags(filepath.Join(l.target, "etc/motd"), true)
	for _, name := range []string{"etc/motd", "srv/one"} {
		flags(filepath.Join(l.running, name), true)
	}
	storeMust(t, l.find().Apply(l.store, l.sides))
	l.wantFile("etc/motd", "2\n")
	for _, name := range []string{"etc/motd", "srv/one", "srv/two"} {
		if flags(filepath.Join(l.target, name), false)&immutable == 0 {
			t.Errorf("%s can be changed", name)
		}
	}
}
