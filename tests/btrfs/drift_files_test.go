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
	l.base, l.target = l.store.Path("base2"), l.store.Path("be2")
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
	l.write(l.running, "var/lib/dpkg/info/pkg.list", driftList+"/usr/lib/pkg\n/usr/lib/pkg/alike\n/usr/lib/pkg/dropped\n/usr/lib/modules/6.1/kernel/a.ko\n/usr/lib/modules/6.1/kernel/b.ko\n")
	for _, name := range []string{
		"usr/lib/pkg/alike", "usr/lib/pkg/dropped", "usr/lib/modules/6.1/kernel/a.ko", "usr/lib/modules/6.1/kernel/b.ko",
		"usr/lib/modules/6.1/modules.dep", "boot/vmlinuz-6.1", "boot/initrd.img-6.1", "var/lib/apt/cdroms.list",
	} {
		l.write(l.running, name, "1\n")
	}
	l.fork()
	for _, name := range []string{"usr/bin/pkg", "usr/lib/modules/6.1/kernel/b.ko", "usr/lib/modules/6.1/modules.dep", "boot/initrd.img-6.1"} {
		l.write(l.target, name, "upgraded\n")
	}
	storeMust(t, os.Remove(filepath.Join(l.target, "usr/lib/pkg/dropped")))
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
			l.write(l.running, name, "edited\n")
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
	if _, err := os.Lstat(filepath.Join(l.target, name)); !os.IsNotExist(err) {
		l.Errorf("%s is there: %v", name, err)
	}
}

// TestDriftOfMovedDirectories replaces directories by links.
func TestDriftOfMovedDirectories(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.running, "var/lib/dpkg/info/pkg.list", driftList+"/var/lib/pkg\n/var/lib/pkg/data\n/var/lib/quiet\n/var/lib/quiet/data\n")
	l.write(l.running, "var/lib/pkg/data", "1\n")
	l.write(l.running, "var/lib/quiet/data", "1\n")
	l.fork()
	for _, name := range []string{"pkg", "quiet"} {
		storeMust(t, os.MkdirAll(filepath.Join(l.running, "srv"), 0o755))
		storeMust(t, os.Rename(filepath.Join(l.running, "var/lib", name), filepath.Join(l.running, "srv", name)))
		storeMust(t, os.Symlink("/srv/"+name, filepath.Join(l.running, "var/lib", name)))
	}
	l.carry()
	for _, name := range []string{"pkg", "quiet"} {
		if target, err := os.Readlink(filepath.Join(l.target, "var/lib", name)); target != "/srv/"+name {
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
	l.write(l.running, "etc/fstab", "UUID=1 / btrfs defaults 0 0\n")
	list := driftList
	dirs := []string{"var/lib/linked", "var/lib/bound", "var/log/logs"}
	for _, dir := range dirs {
		for _, name := range []string{"data", "own", "old", "both", "log"} {
			l.write(l.running, dir+"/"+name, "1\n")
		}
		list += "/" + dir + "\n/" + dir + "/data\n/" + dir + "/both\n"
	}
	l.write(l.running, "var/lib/dpkg/info/pkg.list", list)
	l.fork()
	for _, dir := range dirs {
		l.write(l.target, dir+"/data", "2\n")
		l.write(l.target, dir+"/both", "2\n")
		l.write(l.target, dir+"/more/in", "2\n")
		storeMust(t, os.Remove(filepath.Join(l.target, dir, "old")))
	}
	l.add(l.target, "var/log/logs/log", "upgrade\n")
	move := func(from, to string) {
		t.Helper()
		storeMust(t, os.MkdirAll(filepath.Dir(filepath.Join(l.running, to)), 0o755))
		storeMust(t, os.Rename(filepath.Join(l.running, from), filepath.Join(l.running, to)))
		l.write(l.running, to+"/own", "3\n")
		l.write(l.running, to+"/both", "3\n")
		l.add(l.running, to+"/log", "3\n")
	}
	move("var/lib/linked", "srv/a/linked")
	storeMust(t, os.Symlink("../../srv/a/linked", filepath.Join(l.running, "var/lib/linked")))
	move("var/lib/bound", "srv/bound")
	storeMust(t, os.Mkdir(filepath.Join(l.running, "var/lib/bound"), 0o711))
	l.add(l.running, "etc/fstab", "/srv/bound /var/lib/bound none bind 0 0\n")
	move("var/log/logs", "srv/logs")
	storeMust(t, os.Symlink("/srv/logs", filepath.Join(l.running, "var/log/logs")))

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
		was, err := os.Lstat(filepath.Join(l.running, from))
		storeMust(t, err)
		if is, err := os.Lstat(filepath.Join(l.target, from)); err != nil || is.Mode() != was.Mode() || !is.ModTime().Equal(was.ModTime()) {
			t.Errorf("in the place of %s is %v, %v; want %v", from, is, err, was)
		}
	}
	l.wantFile("srv/logs/log", "1\nupgrade\n3\n")
	if names, err := os.ReadDir(filepath.Join(l.target, "var/lib/bound")); len(names) > 0 {
		t.Errorf("below the mount are %v, %v", names, err)
	}

}

// TestDriftCannotFollow has links to places where the environment's directory cannot be
// moved.
func TestDriftCannotFollow(t *testing.T) {
	l := newDriftLab(t)
	l.write(l.running, "var/lib/pkg/data", "1\n")
	l.write(l.running, "srv/there/x", "1\n")
	l.write(l.running, "var/lib/dpkg/info/pkg.list", driftList+"/var/lib/pkg\n/var/lib/pkg/data\n")
	l.fork()
	l.write(l.target, "var/lib/pkg/data", "2\n")
	storeMust(t, l.store.Create("root/srv/sub"))
	storeMust(t, os.Rename(filepath.Join(l.running, "var/lib/pkg"), filepath.Join(l.running, "moved")))
	for _, target := range []string{"/srv/there", "/srv/none", "/srv/sub", "..", "/"} {
		place := filepath.Join(l.running, "var/lib/pkg")
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
	l.write(l.running, "etc/fstab", "UUID=1 / btrfs defaults 0 0\n")
	dirs := []string{"grown", "quiet", "ruled", "upgraded"}
	for _, name := range dirs {
		l.write(l.running, "var/lib/"+name+"/data", "1\n")
	}
	l.fork()
	l.write(l.target, "var/lib/upgraded/data", "2\n")
	l.write(l.target, "var/lib/grown/more", "2\n")
	l.write(l.target, "var/lib/ruled/data", "2\n")
	for _, name := range dirs {
		l.add(l.running, "etc/fstab", "UUID="+name+" /var/lib/"+name+" ext4 defaults 0 2\n")
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
		l.write(l.running, "var/log/"+name, "1\n2\n")
	}
	l.write(l.running, "var/log/moved.1", "0\n")
	l.fork()
	for _, name := range []string{"moved", "copied", "twice", "emptied", "away"} {
		l.add(l.target, "var/log/"+name, "upgrade\n")
	}
	running := func(name string) string { return filepath.Join(l.running, "var/log", name) }
	storeMust(t, os.Rename(running("moved.1"), running("moved.2")))
	storeMust(t, os.Rename(running("moved"), running("moved.1")))
	l.write(l.running, "var/log/moved", "3\n")
	l.write(l.running, "var/log/copied.1", "1\n2\n")
	l.write(l.running, "var/log/copied", "")
	storeMust(t, os.Rename(running("twice"), running("twice.2")))
	l.write(l.running, "var/log/twice.1", "3\n")
	l.write(l.running, "var/log/twice", "4\n")
	l.write(l.running, "var/log/emptied", "3\n")
	storeMust(t, os.Rename(running("away"), running("away-20260101")))
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
		l.write(l.running, name, "1\n")
	}
	l.setFlags("srv/open", l.running, immutable)
	l.fork()
	l.setFlags("srv/both", l.target, noatime)
	l.setFlags("srv/both", l.running, nocow)
	l.setFlags("srv/f", l.running, noatime)
	l.setFlags("srv/d", l.running, nocow)
	l.write(l.running, "srv/d/inherited", "1\n")
	l.write(l.running, "srv/locked/more", "1\n")
	l.setFlags("srv/locked", l.running, immutable)
	l.setFlags("srv/open", l.running, 0)
	l.write(l.running, "srv/open/more", "1\n")
	l.setFlags("srv/open", l.running, immutable)
	storeMust(t, os.Remove(filepath.Join(l.running, "srv/rewritten")))
	l.write(l.running, "srv/rewritten", "")
	l.setFlags("srv/rewritten", l.running, nocow)
	l.write(l.running, "srv/rewritten", "1\n")
	l.setFlags("new", l.running, nocow)
	l.write(l.running, "new/in/file", "1\n")
	l.carry()
	for name, want := range map[string]int{
		"srv/f": noatime, "srv/d": nocow, "srv/d/in": 0, "srv/d/inherited": nocow, "srv/both": nocow | noatime, "srv/locked": immutable,
		"srv/locked/more": 0, "srv/open": immutable, "srv/open/more": 0, "srv/rewritten": nocow, "new": nocow, "new/in": nocow, "new/in/file": nocow,
	} {
		if got := l.flags(name, l.target); got != want {
			t.Errorf("%s has the flags %#x, want %#x", name, got, want)
		}
	}
	for _, dir := range []string{l.running, l.target, l.store.Path("base2")} {
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
		l.write(l.running, "srv/"+name+"/file", "1\n")
	}
	l.fork()
	for name, flag := range flags {
		if name != "D" {
			l.setFlags("srv/"+name+"/file", l.running, flag)
		}
		l.setFlags("srv/"+name, l.running, flag)
	}
	l.carry()
	for name := range flags {
		for _, path := range []string{"srv/" + name + "/file", "srv/" + name} {
			if got, want := l.flags(path, l.target), l.flags(path, l.running); got != want {
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
		for _, dir := range []string{l.running, l.target} {
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
		l.write(l.running, name, "1\n")
	}
	at := func(dir, name string, sec int64) {
		t.Helper()
		times := []unix.Timespec{{Sec: sec}, {Sec: sec}}
		storeMust(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), times, unix.AT_SYMLINK_NOFOLLOW))
	}
	for _, name := range []string{"srv/d", "srv/touched", "srv/mine"} {
		at(l.running, name, 1000)
	}
	l.fork()
	l.write(l.target, long, "2\n")
	l.write(l.running, long, "3\n")
	l.write(l.running, "srv/d/file", "2\n")
	l.write(l.running, "srv/mine/new", "2\n")
	at(l.running, "srv/mine", 2000)
	at(l.running, "srv/touched", 3000)
	storeMust(t, os.Symlink("x", filepath.Join(l.running, "srv/link")))
	at(l.running, "srv/link", 4000)
	storeMust(t, unix.Mknod(filepath.Join(l.running, "srv/null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	at(l.running, "srv/null", 5000)
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
		info, err := os.Lstat(filepath.Join(l.target, name))
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
