package btrfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// shareLab is a root that is mounted at a directory as if it ran, with all kinds
// of files in /var/mail, and an environment beside it.
type shareLab struct {
	*testing.T
	store  *btrfs.Store
	device string
	root   string
	reg    *be.Registry
	shares *share.Shares
}

const shareFstab = "UUID=1 / btrfs noatime,subvol=@rootfs 0 0\n"

func newShareLab(t *testing.T) *shareLab {
	t.Helper()
	s, image := newStore(t, 512<<20)
	l := &shareLab{T: t, store: s, device: image.Device, root: t.TempDir()}
	storeMust(t, s.Create("@rootfs"))
	image.Mount(t, l.root, "subvol=@rootfs")
	t.Cleanup(l.unmount)
	storeMust(t, os.MkdirAll(l.path("/etc"), 0o755))
	storeMust(t, os.WriteFile(l.path("/etc/fstab"), []byte(shareFstab), 0o644))
	l.fill(l.path("/var/mail"))
	l.open(s)
	l.locked(func() error { return nil })
	running, err := l.reg.Running()
	storeMust(t, err)
	build, _, err := l.reg.Begin(context.Background(), be.BuildOptions{Name: "other", Origin: running, Made: be.User})
	storeMust(t, err)
	_, err = build.Commit(context.Background(), be.Ready, func(*be.Record) {})
	storeMust(t, err)
	return l
}

func (l *shareLab) path(name string) string { return filepath.Join(l.root, name) }

// open is what a command does.
func (l *shareLab) open(st store.Store) {
	l.reg = be.NewRegistry(st, l.root, func(string) (be.Identity, error) { return be.Identity{}, nil })
	l.shares = share.New(l.reg, share.Live{Root: l.root, Device: l.device})
}

// unmount unmounts the share, if it is.
func (l *shareLab) unmount() {
	if points, err := mounts.Points(); err == nil && points[l.path("/var/mail")] != "" {
		storeMust(l.T, mounts.Unmount(l.path("/var/mail")))
	}
}

// fill makes files of all kinds.
func (l *shareLab) fill(dir string) {
	l.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	storeMust(l.T, os.MkdirAll(at("deep/er"), 0o750))
	storeMust(l.T, os.Mkdir(at("database"), 0o700))
	flags(l.T, at("database"), 0x800000) // FS_NOCOW_FL
	for name, content := range map[string]string{
		"al": "mail", "deep/er/file": "x", "acl": "x", "cap": "x", "setuid": "x", "frozen": "x",
		"large": strings.Repeat("0123456789abcdef", 1<<19), "database/rows": strings.Repeat("rows", 10000), "name with\nnewline": "x",
	} {
		storeMust(l.T, os.WriteFile(at(name), []byte(content), 0o640))
	}
	storeMust(l.T, os.Link(at("al"), at("deep/same")))
	storeMust(l.T, os.Symlink("/nowhere", at("link")))
	storeMust(l.T, unix.Mknod(at("socket"), unix.S_IFSOCK|0o666, 0))
	storeMust(l.T, unix.Mkfifo(at("pipe"), 0o620))
	storeMust(l.T, os.WriteFile(at("sparse"), []byte("begin"), 0o644))
	storeMust(l.T, os.Truncate(at("sparse"), 64<<20))
	storeMust(l.T, os.Chown(at("deep/er/file"), 1234, 4321))
	storeMust(l.T, unix.Lchown(at("link"), 12, 21))
	storeMust(l.T, os.Chown(at("setuid"), 8, 8))
	storeMust(l.T, os.Chmod(at("setuid"), os.ModeSetuid|0o755))
	// An entry for user 1234 besides the owner's (struct posix_acl_xattr_header).
	entry := func(tag, perm uint16, id uint32) string {
		return string([]byte{byte(tag), 0, byte(perm), 0, byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)})
	}
	none := ^uint32(0)
	acl := "\x02\x00\x00\x00" + entry(1, 6, none) + entry(2, 7, 1234) + entry(4, 4, none) + entry(0x10, 7, none) + entry(0x20, 0, none)
	storeMust(l.T, unix.Setxattr(at("acl"), "system.posix_acl_access", []byte(acl), 0))
	storeMust(l.T, unix.Setxattr(at("deep"), "system.posix_acl_default", []byte(acl), 0))
	storeMust(l.T, unix.Setxattr(at("cap"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	storeMust(l.T, unix.Setxattr(at("al"), "user.note", []byte("x"), 0))
	storeMust(l.T, os.Chmod(dir, os.ModeSetgid|0o2775))
	flags(l.T, at("frozen"), 0x10) // FS_IMMUTABLE_FL
	l.Cleanup(func() { flags(l.T, at("frozen"), 0) })
}

// flags sets those of chattr(1), where there is such a file.
func flags(t testing.TB, file string, to int) {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	storeMust(t, err)
	defer f.Close()
	storeMust(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, to))
}

// flagsOf returns those of chattr(1) that a copy has to have.
func flagsOf(t testing.TB, file string) int {
	t.Helper()
	f, err := os.Open(file)
	storeMust(t, err)
	defer f.Close()
	got, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	storeMust(t, err)
	return got & (0x800000 | 0x10)
}

func (l *shareLab) locked(do func() error) error {
	l.Helper()
	release, err := l.reg.Lock(context.Background())
	storeMust(l.T, err)
	defer release()
	return do()
}

func (l *shareLab) add() error { return l.addBy(share.AddOptions{Path: "/var/mail", Name: "mail"}) }

func (l *shareLab) addBy(o share.AddOptions) error {
	return l.locked(func() error {
		plan, err := l.shares.PlanAdd(o)
		if err != nil {
			return err
		}
		return l.shares.Add(context.Background(), plan)
	})
}

func (l *shareLab) remove() error {
	return l.locked(func() error {
		plan, err := l.shares.PlanRemove(share.RemoveOptions{What: "mail"})
		if err != nil {
			return err
		}
		return l.shares.Remove(context.Background(), plan)
	})
}

// keep keeps what the share is, as when the machine leaves for the other environment.
func (l *shareLab) keep() error {
	return l.locked(func() error {
		other, err := l.reg.Get("other")
		if err != nil {
			return err
		}
		return l.shares.Snapshot(context.Background(), other)
	})
}

func (l *shareLab) restore() error { return l.restoreBy(true) }

func (l *shareLab) restoreBy(inPlace bool) error {
	return l.locked(func() error {
		plan, err := l.shares.PlanRestore(share.RestoreOptions{What: "/var/mail", From: "other", InPlace: inPlace})
		if err != nil {
			return err
		}
		return l.shares.Restore(context.Background(), plan)
	})
}

// recover is what the next command does.
func (l *shareLab) recover() {
	l.Helper()
	l.open(l.store)
	storeMust(l.T, l.locked(func() error {
		recovered, err := l.reg.Recover(context.Background())
		for _, r := range recovered {
			err = errors.Join(err, r.Err)
		}
		return err
	}))
}

// isMounted says whether the share is what is at /var/mail.
func (l *shareLab) isMounted() bool {
	l.Helper()
	points, err := mounts.Points()
	storeMust(l.T, err)
	return points[l.path("/var/mail")] == "@share/mail"
}

// fstabNames says whether the fstab of an environment names the share.
func (l *shareLab) fstabNames(env string) bool {
	l.Helper()
	text, err := os.ReadFile(l.store.Path(env + "/etc/fstab"))
	storeMust(l.T, err)
	const line = "UUID=1 /var/mail btrfs noatime,subvol=@share/mail 0 0\n"
	if s := string(text); s != shareFstab && s != shareFstab+line {
		l.Errorf("the fstab of %s is\n%s", env, s)
	}
	return strings.HasSuffix(string(text), line)
}

func (l *shareLab) left() []string {
	l.Helper()
	var left []string
	for _, pattern := range []string{"@share/.*", "@be/.*", "@apt-be/journal/*", "@rootfs/var/.*"} {
		found, err := filepath.Glob(l.store.Path(pattern))
		storeMust(l.T, err)
		left = append(left, found...)
	}
	return left
}

// From a directory to a share and back nothing changes in what is there, and no
// data is copied.
func TestShareAddAndRemove(t *testing.T) {
	l := newShareLab(t)
	mail := l.path("/var/mail")
	before := machine.FingerprintOf(t, mail)
	flagged := map[string]int{}
	for _, name := range []string{"database", "database/rows", "frozen", "al"} {
		flagged[name] = flagsOf(t, filepath.Join(mail, name))
	}
	used := l.used()
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(before, machine.FingerprintOf(t, mail)); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", what, diff)
		}
		for name, want := range flagged {
			if got := flagsOf(t, filepath.Join(mail, name)); got != want {
				t.Errorf("after %s %s has flags %#x, want %#x", what, name, got, want)
			}
		}
		var one, other unix.Stat_t
		storeMust(t, unix.Stat(filepath.Join(mail, "al"), &one))
		storeMust(t, unix.Stat(filepath.Join(mail, "deep/same"), &other))
		if one.Ino != other.Ino {
			t.Errorf("after %s hard links are two files", what)
		}
		if now := l.used(); now > used+4<<20 {
			t.Errorf("after %s %d bytes more are used", what, now-used)
		}
		if left := l.left(); len(left) > 0 {
			t.Errorf("after %s %q is left", what, left)
		}
	}
	storeMust(t, l.add())
	if !l.isMounted() || !l.fstabNames("@rootfs") || !l.fstabNames("@be/other") {
		t.Errorf("mounted: %v, in the fstabs: %v, %v", l.isMounted(), l.fstabNames("@rootfs"), l.fstabNames("@be/other"))
	}
	check("add")
	if names, err := os.ReadDir(l.store.Path("@rootfs/var/mail")); err != nil || len(names) > 0 {
		t.Errorf("below the share are %v, %v", names, err)
	}
	storeMust(t, l.remove())
	if l.isMounted() || l.fstabNames("@rootfs") || !l.fstabNames("@be/other") {
		t.Errorf("mounted: %v, in the fstabs: %v, %v", l.isMounted(), l.fstabNames("@rootfs"), l.fstabNames("@be/other"))
	}
	check("remove")
}

// used is how many bytes of the file system are.
func (l *shareLab) used() uint64 {
	l.Helper()
	storeMust(l.T, l.store.Sync())
	var st unix.Statfs_t
	storeMust(l.T, unix.Statfs(l.root, &st))
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}

// sleeper is a process that runs a script and then waits.
func (l *shareLab) sleeper(script string) *exec.Cmd {
	l.Helper()
	cmd := exec.Command("sh", "-c", script+"; echo ready; read x")
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	storeMust(l.T, err)
	stdout, err := cmd.StdoutPipe()
	storeMust(l.T, err)
	storeMust(l.T, cmd.Start())
	l.Cleanup(func() { stdin.Close(); cmd.Wait() })
	_, err = fmt.Fscanln(stdout, new(string))
	storeMust(l.T, err)
	return cmd
}

func TestShareOpenFiles(t *testing.T) {
	l := newShareLab(t)
	refused := func(what string, err error, want ...string) {
		t.Helper()
		var refusal *share.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("%s = %v, want that it is refused", what, err)
		}
		for _, text := range want {
			if !strings.Contains(refusal.Reason, text) {
				t.Errorf("%s is refused because of %q, want %q in it", what, refusal.Reason, text)
			}
		}
	}
	writer := l.sleeper("exec 7>>" + l.path("/var/mail/al"))
	refused("add", l.add(), "/var/mail/al (open for writing)", fmt.Sprintf("sh (process %d)", writer.Process.Pid))
	storeMust(t, writer.Process.Kill())
	writer.Wait()
	stander := l.sleeper("cd " + l.path("/var/mail/deep"))
	refused("add", l.add(), "/var/mail/deep (working directory)")
	if left := l.left(); len(left) > 0 || l.isMounted() {
		t.Errorf("%q is left; mounted: %v", left, l.isMounted())
	}
	storeMust(t, l.addBy(share.AddOptions{Path: "/var/mail", Name: "mail", OpenFiles: true}))
	storeMust(t, stander.Process.Kill())
	stander.Wait()

	// To unmount it, nobody may even read there.
	reader := l.sleeper("exec 7<" + l.path("/var/mail/al"))
	refused("remove", l.remove(), "/var/mail/al (open)", fmt.Sprintf("%d", reader.Process.Pid))
	if !l.isMounted() || !l.fstabNames("@rootfs") {
		t.Error("it is no share any more")
	}
}

// Whoever goes on appending is refused, or all that he wrote is there.
func TestShareAddWhileSomebodyWrites(t *testing.T) {
	l := newShareLab(t)
	for _, pause := range []string{"0.001", "0.02", "0.3"} {
		storeMust(t, os.WriteFile(l.path("/var/mail/log"), nil, 0o644))
		// It counts what it has written, and says so when it is to stop.
		cmd := exec.Command("bash", "-c", `i=0; while ! read -t `+pause+` x; do echo $i >>"$1" && i=$((i+1)); done 2>/dev/null; echo $i`, "-", l.path("/var/mail/log"))
		stdin, err := cmd.StdinPipe()
		storeMust(t, err)
		var out bytes.Buffer
		cmd.Stdout = &out
		storeMust(t, cmd.Start())
		addErr := l.add()
		fmt.Fprintln(stdin, "stop")
		storeMust(t, cmd.Wait())
		var refusal *share.Refusal
		if addErr != nil && !errors.As(addErr, &refusal) {
			t.Errorf("add = %v", addErr)
		}
		if mounted := l.isMounted(); mounted != (addErr == nil) {
			t.Errorf("add = %v, and mounted: %v", addErr, mounted)
		}
		content, err := os.ReadFile(l.path("/var/mail/log"))
		storeMust(t, err)
		if got, want := strings.Count(string(content), "\n"), strings.TrimSpace(out.String()); fmt.Sprint(got) != want {
			t.Errorf("pause %s: there are %d lines, want %s (add = %v)", pause, got, want, addErr)
		}
		if addErr == nil {
			storeMust(t, l.remove())
			storeMust(t, l.locked(func() error { // the other one keeps it
				shares, err := l.shares.List()
				if err == nil && len(shares) == 1 {
					err = os.WriteFile(l.store.Path("@be/other/etc/fstab"), []byte(shareFstab), 0o644)
				}
				return errors.Join(err, l.store.Delete("@share/mail"))
			}))
		}
		storeMust(t, os.Remove(l.path("/var/mail/log")))
		if left := l.left(); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
	}
}

func TestShareRestore(t *testing.T) {
	l := newShareLab(t)
	before := machine.FingerprintOf(t, l.path("/var/mail"))
	storeMust(t, l.add())
	storeMust(t, l.keep())
	flags(t, l.path("/var/mail/frozen"), 0)
	for _, name := range []string{"al", "deep", "database", "frozen"} {
		storeMust(t, os.RemoveAll(l.path("/var/mail/"+name)))
	}
	storeMust(t, os.WriteFile(l.path("/var/mail/late"), nil, 0o600))
	storeMust(t, l.restoreBy(false))
	if diff := cmp.Diff(before, machine.FingerprintOf(t, l.path("/var/mail.other"))); diff != "" {
		t.Errorf("beside (-before +after):\n%s", diff)
	}
	flags(t, l.path("/var/mail.other/frozen"), 0)
	reader := l.sleeper("exec 7<" + l.path("/var/mail/late"))
	var refusal *share.Refusal
	if err := l.restore(); !errors.As(err, &refusal) {
		t.Errorf("while a file is open: %v", err)
	}
	storeMust(t, reader.Process.Kill())
	reader.Wait()
	storeMust(t, l.restore())
	if diff := cmp.Diff(before, machine.FingerprintOf(t, l.path("/var/mail"))); diff != "" || !l.isMounted() {
		t.Errorf("in place; mounted: %v (-before +after):\n%s", l.isMounted(), diff)
	}
	kept, err := filepath.Glob(l.store.Path("@share/mail-*/late"))
	if err != nil || len(kept) != 1 {
		t.Errorf("what was there is kept as %q, %v", kept, err)
	}
	// Destroying the environment destroys the snapshot.
	storeMust(t, l.locked(func() error {
		other, err := l.reg.Get("other")
		if err != nil {
			return err
		}
		return l.reg.Destroy(context.Background(), other)
	}))
	if all, err := l.store.List(be.PastDir); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
	if left := l.left(); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}
