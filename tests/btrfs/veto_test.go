package btrfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/drift"
)

// descend makes nested directories, and returns the innermost one, open. Its path is
// too long to be used.
func descend(t testing.TB, at, name string, depth int) *os.File {
	t.Helper()
	dir, err := os.Open(at)
	storeMust(t, err)
	for range depth {
		if err := unix.Mkdirat(int(dir.Fd()), name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			t.Fatal(err)
		}
		dir = enter(t, dir, name)
	}
	return dir
}

// enter opens a directory, and closes the one above.
func enter(t testing.TB, dir *os.File, name string) *os.File {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	storeMust(t, err)
	storeMust(t, dir.Close())
	return os.NewFile(uintptr(fd), name)
}

// writeIn writes a file in an open directory.
func writeIn(t testing.TB, dir *os.File, name, content string) {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	storeMust(t, err)
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteString(content)
	storeMust(t, errors.Join(err, f.Close()))
}

// readIn reads a file in an open directory: "" if there is none.
func readIn(t testing.TB, dir *os.File, name string) string {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return ""
	}
	storeMust(t, err)
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var content bytes.Buffer
	_, err = content.ReadFrom(f)
	storeMust(t, err)
	return content.String()
}

// reach opens the innermost of nested directories.
func reach(t testing.TB, at, name string, depth int) *os.File {
	t.Helper()
	dir, err := os.Open(at)
	storeMust(t, err)
	for range depth {
		dir = enter(t, dir, name)
	}
	return dir
}

// home creates a directory that belongs to a user.
func (l driftLab) home(dir string) string {
	l.Helper()
	storeMust(l.T, os.MkdirAll(filepath.Join(dir, "home/al"), 0o755))
	storeMust(l.T, os.Chown(filepath.Join(dir, "home/al"), 1000, 1000))
	return filepath.Join(dir, "home/al")
}

// carryAll carries the changes. None may be refused, and afterwards no change may be
// left except files that stay behind, whose paths it returns.
func (l driftLab) carryAll() (behind []string) {
	l.Helper()
	d := l.find()
	d.Settle()
	for _, c := range d.Refused() {
		l.Errorf("refused is %.200s: %s", c.Path, c.Conflict)
	}
	storeMust(l.T, d.Apply(l.store, l.sides))
	for _, c := range d.Skipped() {
		behind = append(behind, c.Path)
	}
	again := l.find()
	again.Settle()
	for _, c := range again.Changes {
		if c.Outcome() != drift.Skipped {
			l.Errorf("to be done again is %.200s (%s): %s", c.Path, c.Outcome(), c.Conflict)
		}
	}
	return behind
}

// TestUserMakesDeepTrees has a user create, change and delete directories that are
// deeper than any path.
func TestUserMakesDeepTrees(t *testing.T) {
	const name, depth = "a name of 20 letters", 400
	l := newDriftLab(t)
	for _, dir := range []string{"changed", "deleted", "same", "moved"} {
		storeMust(t, os.MkdirAll(filepath.Join(l.home(l.running), dir), 0o755))
		deep := descend(t, filepath.Join(l.running, "home/al", dir), name, depth)
		writeIn(t, deep, "file", "old\n")
		writeIn(t, deep, "stays", "old\n")
		storeMust(t, deep.Close())
	}
	l.fork()

	storeMust(t, os.MkdirAll(filepath.Join(l.running, "home/al/new"), 0o755))
	deep := descend(t, filepath.Join(l.running, "home/al/new"), name, depth)
	writeIn(t, deep, "file", "new\n")
	storeMust(t, unix.Linkat(int(deep.Fd()), "file", int(deep.Fd()), "linked", 0))
	l.write(l.running, "home/al/shallow", "new\n")
	shallow, err := os.Open(filepath.Join(l.running, "home/al"))
	storeMust(t, err)
	storeMust(t, unix.Linkat(int(deep.Fd()), "file", int(shallow.Fd()), "linked too", 0))
	storeMust(t, shallow.Close())
	storeMust(t, unix.Symlinkat("nowhere", int(deep.Fd()), "link"))
	storeMust(t, unix.Mknodat(int(deep.Fd()), "fifo", unix.S_IFIFO|0o600, 0))
	storeMust(t, unix.Fchmodat(int(deep.Fd()), "file", 0o600, 0))
	storeMust(t, unix.Fchownat(int(deep.Fd()), "file", 1000, 1000, 0))
	storeMust(t, unix.Mkdirat(int(deep.Fd()), "closed", 0))
	storeMust(t, deep.Close())
	deep = reach(t, filepath.Join(l.running, "home/al/changed"), name, depth)
	writeIn(t, deep, "file", "changed\n")
	storeMust(t, deep.Close())
	storeMust(t, os.RemoveAll(filepath.Join(l.running, "home/al/deleted")))
	storeMust(t, os.Rename(filepath.Join(l.running, "home/al/moved"), filepath.Join(l.running, "home/al/elsewhere")))

	if behind := l.carryAll(); len(behind) > 0 {
		t.Errorf("%.200q stay behind", behind)
	}
	deep = reach(t, filepath.Join(l.target, "home/al/new"), name, depth)
	var file, linked, tooo unix.Stat_t
	storeMust(t, unix.Fstatat(int(deep.Fd()), "file", &file, unix.AT_SYMLINK_NOFOLLOW))
	storeMust(t, unix.Fstatat(int(deep.Fd()), "linked", &linked, unix.AT_SYMLINK_NOFOLLOW))
	storeMust(t, unix.Lstat(filepath.Join(l.target, "home/al/linked too"), &tooo))
	if readIn(t, deep, "file") != "new\n" || file.Mode != unix.S_IFREG|0o600 || file.Uid != 1000 || file.Ino != linked.Ino || file.Ino != tooo.Ino || file.Nlink != 3 {
		t.Errorf("deep down is %q: %+v, %+v, %+v", readIn(t, deep, "file"), file, linked, tooo)
	}
	for name, mode := range map[string]uint32{"link": unix.S_IFLNK | 0o777, "fifo": unix.S_IFIFO | 0o600, "closed": unix.S_IFDIR} {
		if err := unix.Fstatat(int(deep.Fd()), name, &file, unix.AT_SYMLINK_NOFOLLOW); err != nil || file.Mode != mode {
			t.Errorf("%s has mode %o, %v", name, file.Mode, err)
		}
	}
	storeMust(t, deep.Close())
	for dir, want := range map[string]string{"changed": "changed\n", "same": "old\n", "elsewhere": "old\n"} {
		deep := reach(t, filepath.Join(l.target, "home/al", dir), name, depth)
		if got, stays := readIn(t, deep, "file"), readIn(t, deep, "stays"); got != want || stays != "old\n" {
			t.Errorf("%s: deep down is %q and %q", dir, got, stays)
		}
		storeMust(t, deep.Close())
	}
	l.wantGone("home/al/deleted")
	l.wantGone("home/al/moved")
	left, err := filepath.Glob(filepath.Join(l.target, ".apt-be*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
}

// TestDeepTreesThatBothChanged has the environment and a user change the same deep
// directories.
func TestDeepTreesThatBothChanged(t *testing.T) {
	const name, depth = "a name of 20 letters", 200
	l := newDriftLab(t)
	storeMust(t, descend(t, l.home(l.running), name, depth).Close())
	l.fork()
	for dir, content := range map[string]string{l.running: "live\n", l.target: "next\n"} {
		deep := reach(t, l.home(dir), name, depth)
		writeIn(t, deep, "file", content)
		storeMust(t, deep.Close())
	}
	l.carryAll()
	deep := reach(t, l.home(l.target), name, depth)
	if got := readIn(t, deep, "file"); got != "live\n" {
		t.Errorf("deep down is %q", got)
	}
	storeMust(t, deep.Close())
}

// TestUserSetsManyXattrs has a user set more extended attributes than the kernel lists,
// and more than fit in memory limits.
func TestUserSetsManyXattrs(t *testing.T) {
	l := newDriftLab(t)
	l.fork()
	home := l.home(l.running)
	set := func(name string, attributes, size int) {
		t.Helper()
		l.write(l.running, name, "x\n")
		storeMust(t, os.Chown(filepath.Join(l.running, name), 1000, 1000))
		for i := range attributes {
			attribute := fmt.Sprintf("user.%0200d", i)
			storeMust(t, unix.Setxattr(filepath.Join(l.running, name), attribute, bytes.Repeat([]byte{'x'}, size), 0))
		}
	}
	set("home/al/many", 400, 10)
	set("home/al/more", 400, 11<<10)
	storeMust(t, os.Mkdir(filepath.Join(home, "dir"), 0o755))
	for i := range 400 {
		storeMust(t, unix.Setxattr(filepath.Join(home, "dir"), fmt.Sprintf("user.%0200d", i), []byte("x"), 0))
	}
	l.write(l.running, "home/al/dir/inside", "x\n")
	if behind := l.carryAll(); !slices.Equal(behind, []string{"home/al/more"}) {
		t.Errorf("%q stay behind", behind)
	}
	for name, want := range map[string]string{"many": "xxxxxxxxxx", "dir": "x"} {
		for _, i := range []int{0, 399} {
			value := make([]byte, 100)
			n, err := unix.Getxattr(filepath.Join(l.target, "home/al", name), fmt.Sprintf("user.%0200d", i), value)
			if err != nil || string(value[:n]) != want {
				t.Errorf("%s has %q, %v", name, value[:max(n, 0)], err)
			}
		}
	}
	l.wantFile("home/al/dir/inside", "x\n")
	// With fewer attributes, the file is carried.
	storeMust(t, os.Remove(filepath.Join(home, "more")))
	l.write(l.running, "home/al/more", "again\n")
	l.carryAll()
	l.wantFile("home/al/more", "again\n")
}

// TestUserMakesOddFiles has a user create a file of each type.
func TestUserMakesOddFiles(t *testing.T) {
	l := newDriftLab(t)
	l.home(l.running)
	l.fork()
	home := filepath.Join(l.running, "home/al")
	at := func(name string) string { return filepath.Join(home, name) }
	long := strings.Repeat("ä", 127) + "x"
	for _, name := range []string{long, "\xff\xfe", "new\nline", " ", "\\040", "x.apt-be-dist", ".apt-be-merge-links"} {
		storeMust(t, os.WriteFile(at(name), []byte("x\n"), 0o644))
	}
	storeMust(t, unix.Mkfifo(at("fifo"), 0o600))
	storeMust(t, unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0))
	storeMust(t, os.WriteFile(at("sparse"), nil, 0o644))
	storeMust(t, os.Truncate(at("sparse"), 1<<62))
	storeMust(t, os.MkdirAll(at("closed/inner"), 0o755))
	storeMust(t, os.WriteFile(at("closed/inner/file"), []byte("x\n"), 0))
	storeMust(t, os.Chmod(at("closed/inner"), 0))
	storeMust(t, os.Chmod(at("closed"), 0))
	storeMust(t, os.Symlink(strings.Repeat("x/", 2047), at("link")))
	storeMust(t, os.Symlink("itself", at("itself")))
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff"
	for i := range 1000 {
		acl += string([]byte{2, 0, 4, 0, byte(i), byte(16 + i>>8), 1, 0})
	}
	acl += "\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	storeMust(t, os.WriteFile(at("acl"), nil, 0o644))
	storeMust(t, unix.Setxattr(at("acl"), "system.posix_acl_access", []byte(acl), 0))
	for i := range 100 { // all names under which a file could be set aside
		suffix := ".apt-be-dist"
		if i > 0 {
			suffix += fmt.Sprintf("-%d", i+1)
		}
		storeMust(t, os.MkdirAll(at("both"+suffix+"/full"), 0o755))
	}
	l.write(l.running, "home/al/both", "live\n")
	l.write(l.target, "home/al/both", "next\n")
	if behind := l.carryAll(); len(behind) > 0 {
		t.Errorf("%.200q stay behind", behind)
	}
	for _, name := range []string{long, "\xff\xfe", "new\nline"} {
		l.wantFile("home/al/"+name, "x\n")
	}
	l.wantFile("home/al/both", "live\n")
	l.wantFile("home/al/closed/inner/file", "x\n")
	for name, size := range map[string]int64{"sparse": 1 << 62, "link": 4094} {
		if info, err := os.Lstat(filepath.Join(l.target, "home/al", name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	value := make([]byte, 16<<10)
	if n, err := unix.Getxattr(filepath.Join(l.target, "home/al/acl"), "system.posix_acl_access", value); err != nil || string(value[:n]) != acl {
		t.Errorf("the access control list has %d bytes, %v", n, err)
	}
}

// TestDriftOfUserFilesOfBothSides changes a user's files on both sides. The user's
// version wins, and no change is refused. A conflict in a service's data is refused.
func TestDriftOfUserFilesOfBothSides(t *testing.T) {
	l := newDriftLab(t)
	home := l.home(l.running)
	for _, name := range []string{"data", "dir/file", "repo/.git/HEAD", "repo/.git/objects/x", "repo/.git/refs/x", "app.db", "app.db-wal", strings.Repeat("n", 250)} {
		l.write(l.running, "home/al/"+name, "old\n")
	}
	l.write(l.running, "home/al/app.db", "SQLite format 3\x00")
	l.write(l.running, "home/al/"+strings.Repeat("n", 250), "SQLite format 3\x00")
	l.write(l.running, "home/al/"+strings.Repeat("n", 250)+"-wal", "")
	l.write(l.running, "var/spool/cron/crontabs/al", "old\n")
	storeMust(t, os.Chown(filepath.Join(l.running, "var/spool/cron/crontabs/al"), 1000, 0))
	storeMust(t, os.MkdirAll(filepath.Join(l.running, "var/crash"), 0o755))
	storeMust(t, os.Chmod(filepath.Join(l.running, "var/crash"), 0o777|os.ModeSticky))
	l.fork()
	const most = 65 << 20
	for dir, content := range map[string]string{l.running: "live\n", l.target: "next\n"} {
		for _, name := range []string{"home/al/data", "home/al/app.db-wal", "home/al/" + strings.Repeat("n", 250) + "-wal", "home/al/repo/.git/refs/x", "var/spool/cron/crontabs/al", "var/crash/new"} {
			l.write(dir, name, content)
		}
		storeMust(t, os.WriteFile(filepath.Join(dir, "home/al/repo/.git/packed-refs"), []byte(content), 0o644))
		storeMust(t, os.Truncate(filepath.Join(dir, "home/al/repo/.git/packed-refs"), most))
	}
	storeMust(t, os.Chown(filepath.Join(l.running, "var/crash/new"), 1000, 0))
	storeMust(t, os.RemoveAll(filepath.Join(home, "dir")))
	storeMust(t, os.Symlink("/", filepath.Join(home, "dir")))
	l.write(l.target, "home/al/dir/script", "next\n")
	l.write(l.running, "home/al/closed/inside", "live\n")
	l.write(l.target, "home/al/closed", "next\n")
	l.carryAll()
	l.wantFile("home/al/data", "live\n")
	l.wantFile("home/al/data.apt-be-dist", "next\n")
	l.wantFile("home/al/app.db-wal", "live\n")
	l.wantFile("var/spool/cron/crontabs/al", "live\n")
	l.wantFile("var/crash/new", "live\n")
	l.wantFile("home/al/repo/.git/refs/x", "live\n")
	l.wantFile("home/al/closed/inside", "live\n")
	l.wantFile("home/al/dir.apt-be-dist/script", "next\n")

	// Conflicts in files of the system still need the administrator.
	l = newDriftLab(t)
	for dir, content := range map[string]string{l.running: "live\n", l.target: "next\n"} {
		l.write(dir, "var/lib/db/data", content)
		storeMust(t, os.Chown(filepath.Join(dir, "var/lib/db/data"), 105, 105))
	}
	if err := l.find().CheckRefused(); !errors.Is(err, drift.ErrRefused) {
		t.Errorf("a service's data: %v", err)
	}
}

// TestUserMakesSparseMailbox makes a user's mailbox larger than any reader can read,
// while the upgrade has added text to it.
func TestUserMakesSparseMailbox(t *testing.T) {
	l := newDriftLab(t)
	l.fork()
	l.add(l.target, "var/mail/al", "upgrade\n")
	storeMust(t, os.Chown(filepath.Join(l.running, "var/mail/al"), 1000, 8))
	storeMust(t, os.Truncate(filepath.Join(l.running, "var/mail/al"), 1<<62))
	l.carryAll()
	if info, err := os.Stat(filepath.Join(l.target, "var/mail/al")); err != nil || info.Size() != 1<<62 {
		t.Errorf("the mail is %v, %v", info, err)
	}
	l.wantFile("var/mail/al.apt-be-dist", "first\nupgrade\n")
}

// TestUserHoldsLeases has a user hold a lease on a file, which blocks its readers.
func TestUserHoldsLeases(t *testing.T) {
	l := newDriftLab(t)
	l.fork()
	l.home(l.running)
	l.write(l.running, "home/al/leased", "new\n")
	f, err := os.OpenFile(filepath.Join(l.running, "home/al/leased"), os.O_RDWR, 0)
	storeMust(t, err)
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	d := l.find()
	if err := d.CheckRefused(); err != nil {
		t.Error(err)
	}
	if behind := d.Skipped(); len(behind) != 1 || behind[0].Path != "home/al/leased" {
		t.Errorf("%v stay behind", behind)
	}
}

// TestUserMakesDeepSubvolumes has a user create subvolumes deeper than any path: the
// store lists, changes and deletes all others, and these.
func TestUserMakesDeepSubvolumes(t *testing.T) {
	const name, depth = "a name of 20 letters", 400
	l := newDriftLab(t)
	l.fork()
	deep := descend(t, l.home(l.running), name, depth)
	for _, sub := range []string{"sub", "\xff"} {
		storeMust(t, btrfsCreate(deep, sub))
	}
	storeMust(t, deep.Close())
	nested, err := l.store.Nested("root")
	if err != nil || len(nested) != 2 || len(nested[0].Path) < depth*len(name) {
		t.Fatalf("nested are %d, %v", len(nested), err)
	}
	l.carryAll()
	storeMust(t, reach(t, l.home(l.target), name, depth).Close())
	storeMust(t, l.store.Delete("root"))
}

// TestChangedOfDeepTrees checks that the result and the number of steps do not grow
// with the square of the depth.
func TestChangedOfDeepTrees(t *testing.T) {
	const depth = 10_000
	s, _ := newStore(t, 1<<30)
	storeMust(t, s.Create("root"))
	storeMust(t, os.MkdirAll(s.Path("root/etc"), 0o755))
	storeMust(t, s.Snapshot("root", "base", true))
	storeMust(t, s.Snapshot("base", "be", false))
	base, err := s.Get("base")
	storeMust(t, err)
	deep := descend(t, s.Path("root"), "d", depth)
	writeIn(t, deep, "file", "x\n")
	storeMust(t, deep.Close())
	storeMust(t, s.Sync())
	changed, err := s.Changed("root", base.OTransID)
	if err != nil || len(changed) > 2000 {
		t.Fatalf("%d paths have changed, %v", len(changed), err)
	}
	be, err := s.Get("be")
	storeMust(t, err)
	l := driftLab{T: t, store: s, running: s.Path("root"), target: s.Path("be"), base: s.Path("base")}
	l.sides = drift.Sides{Base: "base", Running: "root", Target: "be", ForkGeneration: be.OTransID}
	if behind := l.carryAll(); len(behind) > 0 {
		t.Errorf("%.200q stay behind", behind)
	}
	deep = reach(t, l.target, "d", depth)
	if got := readIn(t, deep, "file"); got != "x\n" {
		t.Errorf("at the bottom is %q", got)
	}
	storeMust(t, deep.Close())
}

// btrfsCreate creates a subvolume in an open directory (BTRFS_IOC_SUBVOL_CREATE).
func btrfsCreate(dir *os.File, name string) error {
	var args struct {
		fd   int64
		name [4088]byte
	}
	copy(args.name[:], name)
	return btrfsIoctl(dir, 0x5000940e, &args.fd)
}

func btrfsIoctl(f *os.File, request uintptr, args *int64) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(args))); errno != 0 {
		return errno
	}
	return nil
}
