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
)

// fork makes a base and an environment from the current running system.
func (l *driftLab) fork() {
	l.Helper()
	storeMust(l.T, l.store.Snapshot("root", "base2", true))
	storeMust(l.T, l.store.Snapshot("base2", "be2", false))
	be, err := l.store.Get("be2")
	storeMust(l.T, err)
	l.base, l.next = l.store.Path("base2"), l.store.Path("be2")
	l.sides = drift.Sides{Base: "base2", Running: "root", Target: "be2", ForkGeneration: be.OTransID}
}

// carry carries the changes, and returns the predicted outcomes.
func (l *driftLab) carry() map[string]drift.Outcome {
	l.Helper()
	d := l.find()
	d.Settle()
	fates := map[string]drift.Outcome{}
	for _, c := range d.Changes {
		fates[c.Path] = c.Outcome()
	}
	storeMust(l.T, d.Apply(l.store, l.sides))
	return fates
}

// TestDriftOfPackagesFiles edits files of upgraded and of other packages, and generated
// files.
func TestDriftOfPackagesFiles(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.live, "var/lib/dpkg/info/pkg.list", driftList+"/usr/lib/pkg\n/usr/lib/pkg/alike\n/usr/lib/pkg/dropped\n/usr/lib/modules/6.1/kernel/a.ko\n/usr/lib/modules/6.1/kernel/b.ko\n")
	for _, name := range []string{
		"usr/lib/pkg/alike", "usr/lib/pkg/dropped", "usr/lib/modules/6.1/kernel/a.ko", "usr/lib/modules/6.1/kernel/b.ko",
		"usr/lib/modules/6.1/modules.dep", "boot/vmlinuz-6.1", "boot/initrd.img-6.1", "var/lib/apt/cdroms.list",
	} {
		l.write(l.live, name, "1\n")
	}
	l.fork()
	for _, name := range []string{"usr/bin/pkg", "usr/lib/modules/6.1/kernel/b.ko", "usr/lib/modules/6.1/modules.dep", "boot/initrd.img-6.1"} {
		l.write(l.next, name, "upgraded\n")
	}
	storeMust(t, os.Remove(filepath.Join(l.next, "usr/lib/pkg/dropped")))
	want := map[string]drift.Outcome{
		"usr/bin/pkg": drift.Conflict, "usr/lib/pkg/alike": drift.Carried, "usr/lib/pkg/dropped": drift.Conflict,
		"usr/lib/modules/6.1/kernel/a.ko": drift.Carried, "usr/lib/modules/6.1/kernel/b.ko": drift.Conflict,
		"usr/lib/modules/6.1/updates": drift.Carried, "usr/lib/modules/6.1/updates/own.ko": drift.Carried,
		"usr/lib/modules/6.1/modules.dep": drift.Skipped, "boot/vmlinuz-6.1": drift.Carried, "boot/own": drift.Carried,
		"boot/initrd.img-6.1": drift.Skipped, "var/lib/apt/cdroms.list": drift.Carried,
		"var/lib/dkms": drift.Carried, "var/lib/dkms/own": drift.Carried,
	}
	for name := range want {
		if filepath.Base(name) != "updates" && name != "var/lib/dkms" {
			l.write(l.live, name, "edited\n")
		}
	}
	if got := l.carry(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the fates are\n%v, want\n%v", got, want)
	}
	for name, fate := range want {
		is := map[drift.Outcome]string{drift.Carried: "edited\n", drift.Conflict: "upgraded\n", drift.Skipped: "upgraded\n"}[fate]
		switch name {
		case "usr/lib/modules/6.1/updates", "var/lib/dkms", "usr/lib/pkg/dropped":
			continue
		}
		l.wantFile(name, is)
	}
	for _, name := range []string{"usr/bin/pkg", "usr/lib/pkg/dropped", "usr/lib/modules/6.1/kernel/b.ko"} {
		l.wantFile(name+rootfs.Beside, "edited\n")
	}
	l.wantGone("usr/lib/pkg/dropped")
}

func (l driftLab) wantGone(name string) {
	l.Helper()
	if _, err := os.Lstat(filepath.Join(l.next, name)); !os.IsNotExist(err) {
		l.Errorf("%s is there: %v", name, err)
	}
}

// TestDriftOfMovedDirectories replaces directories by links.
func TestDriftOfMovedDirectories(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.live, "var/lib/dpkg/info/pkg.list", driftList+"/var/lib/pkg\n/var/lib/pkg/data\n/var/lib/quiet\n/var/lib/quiet/data\n")
	l.write(l.live, "var/lib/pkg/data", "1\n")
	l.write(l.live, "var/lib/quiet/data", "1\n")
	l.fork()
	for _, name := range []string{"pkg", "quiet"} {
		storeMust(t, os.MkdirAll(filepath.Join(l.live, "srv"), 0o755))
		storeMust(t, os.Rename(filepath.Join(l.live, "var/lib", name), filepath.Join(l.live, "srv", name)))
		storeMust(t, os.Symlink("/srv/"+name, filepath.Join(l.live, "var/lib", name)))
	}
	l.carry()
	for _, name := range []string{"pkg", "quiet"} {
		if target, err := os.Readlink(filepath.Join(l.next, "var/lib", name)); target != "/srv/"+name {
			t.Errorf("%s leads to %q, %v", name, target, err)
		}
		l.wantFile("srv/"+name+"/data", "1\n")
	}

	d := l.find()
	d.Settle()
	if len(d.Changes) > 0 {
		t.Errorf("to be done again are %+v", d.Changes)
	}
}

// TestDriftFollowsMovedDirectories moves directories in which the upgrade changes
// files, and makes links from the old places to the new ones.
func TestDriftFollowsMovedDirectories(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.live, "etc/fstab", "UUID=1 / btrfs defaults 0 0\n")
	list := driftList
	dirs := []string{"var/lib/linked", "var/lib/bound", "var/log/logs"}
	for _, dir := range dirs {
		for _, name := range []string{"data", "own", "old", "both", "log"} {
			l.write(l.live, dir+"/"+name, "1\n")
		}
		list += "/" + dir + "\n/" + dir + "/data\n/" + dir + "/both\n"
	}
	l.write(l.live, "var/lib/dpkg/info/pkg.list", list)
	l.fork()
	for _, dir := range dirs {
		l.write(l.next, dir+"/data", "2\n")
		l.write(l.next, dir+"/both", "2\n")
		l.write(l.next, dir+"/more/in", "2\n")
		storeMust(t, os.Remove(filepath.Join(l.next, dir, "old")))
	}
	l.add(l.next, "var/log/logs/log", "upgrade\n")
	move := func(from, to string) {
		t.Helper()
		storeMust(t, os.MkdirAll(filepath.Dir(filepath.Join(l.live, to)), 0o755))
		storeMust(t, os.Rename(filepath.Join(l.live, from), filepath.Join(l.live, to)))
		l.write(l.live, to+"/own", "3\n")
		l.write(l.live, to+"/both", "3\n")
		l.add(l.live, to+"/log", "3\n")
	}
	move("var/lib/linked", "srv/a/linked")
	storeMust(t, os.Symlink("../../srv/a/linked", filepath.Join(l.live, "var/lib/linked")))
	move("var/lib/bound", "srv/bound")
	storeMust(t, os.Mkdir(filepath.Join(l.live, "var/lib/bound"), 0o711))
	l.add(l.live, "etc/fstab", "/srv/bound /var/lib/bound none bind 0 0\n")
	move("var/log/logs", "srv/logs")
	storeMust(t, os.Symlink("/srv/logs", filepath.Join(l.live, "var/log/logs")))

	fates := l.carry()
	for from, to := range map[string]string{"var/lib/linked": "srv/a/linked", "var/lib/bound": "srv/bound", "var/log/logs": "srv/logs"} {
		if fates[from] != drift.Carried || fates[to+"/own"] != drift.Carried {
			t.Errorf("of %s the fates are %v", from, fates)
		}
		l.wantFile(to+"/data", "2\n")
		l.wantFile(to+"/own", "3\n")
		if from != "var/log/logs" {
			l.wantFile(to+"/both", "2\n")
			l.wantFile(to+"/both"+rootfs.Beside, "3\n")
		}
		l.wantFile(to+"/more/in", "2\n")
		l.wantGone(to + "/old")
		was, err := os.Lstat(filepath.Join(l.live, from))
		storeMust(t, err)
		if is, err := os.Lstat(filepath.Join(l.next, from)); err != nil || is.Mode() != was.Mode() || !is.ModTime().Equal(was.ModTime()) {
			t.Errorf("in the place of %s is %v, %v; want %v", from, is, err, was)
		}
	}
	l.wantFile("srv/logs/log", "1\nupgrade\n3\n")
	if names, err := os.ReadDir(filepath.Join(l.next, "var/lib/bound")); len(names) > 0 {
		t.Errorf("below the mount are %v, %v", names, err)
	}

}

// TestDriftCannotFollow has links to places where the environment's directory cannot be
// moved.
func TestDriftCannotFollow(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.live, "var/lib/pkg/data", "1\n")
	l.write(l.live, "srv/there/x", "1\n")
	l.write(l.live, "var/lib/dpkg/info/pkg.list", driftList+"/var/lib/pkg\n/var/lib/pkg/data\n")
	l.fork()
	l.write(l.next, "var/lib/pkg/data", "2\n")
	storeMust(t, l.store.Create("root/srv/sub"))
	storeMust(t, os.Rename(filepath.Join(l.live, "var/lib/pkg"), filepath.Join(l.live, "moved")))
	for _, target := range []string{"/srv/there", "/srv/none", "/srv/sub", "..", "/"} {
		place := filepath.Join(l.live, "var/lib/pkg")
		_ = os.Remove(place)
		storeMust(t, os.Symlink(target, place))
		refused := l.find().Refused()
		if len(refused) != 1 || refused[0].Path != "var/lib/pkg" || !strings.Contains(refused[0].Conflict, "a symbolic link") {
			t.Errorf("with a link to %s %d are refused", target, len(refused))
		}
	}
}

// TestDriftOfMounts mounts file systems over directories of the running system.
func TestDriftOfMounts(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.live, "etc/fstab", "UUID=1 / btrfs defaults 0 0\n")
	dirs := []string{"grown", "quiet", "ruled", "upgraded"}
	for _, name := range dirs {
		l.write(l.live, "var/lib/"+name+"/data", "1\n")
	}
	l.fork()
	l.write(l.next, "var/lib/upgraded/data", "2\n")
	l.write(l.next, "var/lib/grown/more", "2\n")
	l.write(l.next, "var/lib/ruled/data", "2\n")
	for _, name := range dirs {
		l.add(l.live, "etc/fstab", "UUID="+name+" /var/lib/"+name+" ext4 defaults 0 2\n")
	}
	rules, err := merge.ParseRules("s", []byte("/var/lib/ruled IGNORE\n"))
	storeMust(t, err)
	d, err := drift.Find(l.store, l.sides, append(merge.DefaultRules(), rules...))
	storeMust(t, err)
	var refused []string
	for _, c := range d.Refused() {
		refused = append(refused, c.Path+": "+c.Conflict)
	}
	slices.Sort(refused)
	if len(refused) != 2 || !strings.Contains(refused[0], "mounts UUID=grown there") || !strings.Contains(refused[1], "over /var/lib/upgraded/data") {
		t.Errorf("refused are %q", refused)
	}
}

// TestDriftOfRotatedLogs checks that each line of the logs exists once.
func TestDriftOfRotatedLogs(t *testing.T) {
	l := newDriftLab(t)
	for _, name := range []string{"moved", "copied", "twice", "emptied", "away"} {
		l.write(l.live, "var/log/"+name, "1\n2\n")
	}
	l.write(l.live, "var/log/moved.1", "0\n")
	l.fork()
	for _, name := range []string{"moved", "copied", "twice", "emptied", "away"} {
		l.add(l.next, "var/log/"+name, "upgrade\n")
	}
	live := func(name string) string { return filepath.Join(l.live, "var/log", name) }
	storeMust(t, os.Rename(live("moved.1"), live("moved.2")))
	storeMust(t, os.Rename(live("moved"), live("moved.1")))
	l.write(l.live, "var/log/moved", "3\n")
	l.write(l.live, "var/log/copied.1", "1\n2\n")
	l.write(l.live, "var/log/copied", "")
	storeMust(t, os.Rename(live("twice"), live("twice.2")))
	l.write(l.live, "var/log/twice.1", "3\n")
	l.write(l.live, "var/log/twice", "4\n")
	l.write(l.live, "var/log/emptied", "3\n")
	storeMust(t, os.Rename(live("away"), live("away-20260101")))
	l.carry()
	for name, want := range map[string]string{
		"moved.2": "0\n", "moved.1": "1\n2\n", "moved": "upgrade\n3\n", "copied.1": "1\n2\n", "copied": "upgrade\n",
		"twice.2": "1\n2\n", "twice.1": "3\n", "twice": "upgrade\n4\n", "emptied": "upgrade\n3\n", "away-20260101": "1\n2\n", "away": "upgrade\n",
	} {
		l.wantFile("var/log/"+name, want)
	}
}

// TestDriftOfFlags sets flags of chattr(1) on files and directories on both sides.
func TestDriftOfFlags(t *testing.T) {
	const nocow, noatime, immutable = 0x800000, 0x80, 0x10 // linux/fs.h
	l := newDriftLab(t)
	for _, name := range []string{"srv/f", "srv/d/in", "srv/both/in", "srv/locked/in", "srv/open/in", "srv/rewritten"} {
		l.write(l.live, name, "1\n")
	}
	l.setFlags("srv/open", l.live, immutable)
	l.fork()
	l.setFlags("srv/both", l.next, noatime)
	l.setFlags("srv/both", l.live, nocow)
	l.setFlags("srv/f", l.live, noatime)
	l.setFlags("srv/d", l.live, nocow)
	l.write(l.live, "srv/d/inherited", "1\n")
	l.write(l.live, "srv/locked/more", "1\n")
	l.setFlags("srv/locked", l.live, immutable)
	l.setFlags("srv/open", l.live, 0)
	l.write(l.live, "srv/open/more", "1\n")
	l.setFlags("srv/open", l.live, immutable)
	storeMust(t, os.Remove(filepath.Join(l.live, "srv/rewritten")))
	l.write(l.live, "srv/rewritten", "")
	l.setFlags("srv/rewritten", l.live, nocow)
	l.write(l.live, "srv/rewritten", "1\n")
	l.setFlags("new", l.live, nocow)
	l.write(l.live, "new/in/file", "1\n")
	l.carry()
	for name, want := range map[string]int{
		"srv/f": noatime, "srv/d": nocow, "srv/d/in": 0, "srv/d/inherited": nocow, "srv/both": nocow | noatime, "srv/locked": immutable,
		"srv/locked/more": 0, "srv/open": immutable, "srv/open/more": 0, "srv/rewritten": nocow, "new": nocow, "new/in": nocow, "new/in/file": nocow,
	} {
		if got := l.flags(name, l.next); got != want {
			t.Errorf("%s has the flags %#x, want %#x", name, got, want)
		}
	}
	for _, dir := range []string{l.live, l.next, l.store.Path("base2")} {
		for _, name := range []string{"srv/locked", "srv/open"} {
			if f, err := os.Open(filepath.Join(dir, name)); err == nil {
				_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
				f.Close()
			}
		}
	}
}

// TestDriftOfEachFlag sets each flag that a user may set, on a file and a directory
// without other changes.
func TestDriftOfEachFlag(t *testing.T) {
	flags := map[string]int{"A": 0x80, "S": 0x8, "D": 0x10000, "d": 0x40, "c": 0x4, "m": 0x400, "a": 0x20, "i": 0x10} // linux/fs.h
	l := newDriftLab(t)
	for name := range flags {
		l.write(l.live, "srv/"+name+"/file", "1\n")
	}
	l.fork()
	for name, flag := range flags {
		if name != "D" {
			l.setFlags("srv/"+name+"/file", l.live, flag)
		}
		l.setFlags("srv/"+name, l.live, flag)
	}
	l.carry()
	for name := range flags {
		for _, path := range []string{"srv/" + name + "/file", "srv/" + name} {
			if got, want := l.flags(path, l.next), l.flags(path, l.live); got != want {
				t.Errorf("/%s has the flags %#x, want %#x", path, got, want)
			}
		}
	}
	d := l.find()
	d.Settle()
	if len(d.Changes) > 0 {
		t.Errorf("to be done again are %+v", d.Changes)
	}
	for name := range flags {
		for _, dir := range []string{l.live, l.next} {
			l.setFlags("srv/"+name, dir, 0)
			l.setFlags("srv/"+name+"/file", dir, 0)
		}
	}
}

func (l driftLab) flags(name, dir string) int {
	l.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	storeMust(l.T, err)
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	storeMust(l.T, err)
	return flags
}

// setFlags sets flags of the file at a path, or of a new directory if none exists.
func (l driftLab) setFlags(name, dir string, flags int) {
	l.Helper()
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); os.IsNotExist(err) {
		storeMust(l.T, os.Mkdir(file, 0o755))
	}
	f, err := os.Open(file)
	storeMust(l.T, err)
	defer f.Close()
	storeMust(l.T, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags))
}

// TestDriftOfNamesAndTimes has names that are too long for a suffix, and checks the
// times of carried files and of their directories.
func TestDriftOfNamesAndTimes(t *testing.T) {
	l := newDriftLab(t)
	long := "etc/" + strings.Repeat("n", 250)
	for _, name := range []string{long, "srv/d/file", "srv/touched", "srv/mine/old"} {
		l.write(l.live, name, "1\n")
	}
	at := func(dir, name string, sec int64) {
		t.Helper()
		times := []unix.Timespec{{Sec: sec}, {Sec: sec}}
		storeMust(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), times, unix.AT_SYMLINK_NOFOLLOW))
	}
	for _, name := range []string{"srv/d", "srv/touched", "srv/mine"} {
		at(l.live, name, 1000)
	}
	l.fork()
	l.write(l.next, long, "2\n")
	l.write(l.live, long, "3\n")
	l.write(l.live, "srv/d/file", "2\n")
	l.write(l.live, "srv/mine/new", "2\n")
	at(l.live, "srv/mine", 2000)
	at(l.live, "srv/touched", 3000)
	storeMust(t, os.Symlink("x", filepath.Join(l.live, "srv/link")))
	at(l.live, "srv/link", 4000)
	storeMust(t, unix.Mknod(filepath.Join(l.live, "srv/null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	at(l.live, "srv/null", 5000)
	fates := l.carry()
	if fates[long] != drift.Conflict {
		t.Errorf("both changed a file with a long name, and it is %q", fates[long])
	}
	if fate, told := fates["srv/touched"]; told {
		t.Errorf("of a time it is told that it is %s", fate)
	}
	l.wantFile(long, "3\n")
	l.wantFile(rootfs.BesidePath(long, rootfs.Aside), "2\n")
	for name, want := range map[string]int64{"srv/d": 1000, "srv/mine": 2000, "srv/touched": 3000, "srv/link": 4000, "srv/null": 5000} {
		info, err := os.Lstat(filepath.Join(l.next, name))
		storeMust(t, err)
		if !info.ModTime().Equal(time.Unix(want, 0)) {
			t.Errorf("%s is of %v, want %v", name, info.ModTime().Unix(), want)
		}
	}
	d := l.find()
	d.Settle()
	if len(d.Changes) > 0 {
		t.Errorf("to be done again are %+v", d.Changes)
	}
}
