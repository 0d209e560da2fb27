package btrfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// shareLab is a root that is mounted at a directory like a running one, with all kinds
// of files in /var/mail, and a second environment.
type shareLab struct {
	*testing.T
	store  *btrfs.Store
	file   string // the image of the file system
	device string
	root   string
	reg    *be.Registry
	shares *share.Shares
}

const shareFstab = "UUID=1 / btrfs noatime,subvol=@rootfs 0 0\n"

func newShareLab(t *testing.T) *shareLab {
	t.Helper()
	s, image := newStore(t, 512<<20)
	storeMust(t, s.Create("@rootfs"))
	l := bootShareLab(t, s, image)
	storeMust(t, os.MkdirAll(l.path("/etc"), 0o755))
	storeMust(t, os.WriteFile(l.path("/etc/fstab"), []byte(shareFstab), 0o644))
	l.fill(l.path("/var/mail"))
	l.open(s)
	l.locked(func() error { return nil })
	running, err := l.reg.Running()
	storeMust(t, err)
	build, _, err := l.reg.Begin(context.Background(), be.BuildOptions{Name: "other", Origin: running, CreatedBy: be.User})
	storeMust(t, err)
	_, err = build.Commit(context.Background(), be.Ready, func(*be.Record) {})
	storeMust(t, err)
	return l
}

// bootShareLab mounts the root.
func bootShareLab(t *testing.T, s *btrfs.Store, image *loop.Image) *shareLab {
	t.Helper()
	l := &shareLab{T: t, store: s, file: image.File, device: image.Device, root: t.TempDir()}
	image.Mount(t, l.root, "subvol=@rootfs")
	t.Cleanup(l.unmount)
	return l
}

func (l *shareLab) path(name string) string { return filepath.Join(l.root, name) }

// open opens the store, like a command.
func (l *shareLab) open(st store.Store) {
	l.reg = be.NewRegistry(st, l.root, func(string) (be.Identity, error) { return be.Identity{}, nil })
	l.shares = share.New(l.reg, share.RunningHost{Root: l.root, Device: l.device})
}

// unmount unmounts the share if it is mounted.
func (l *shareLab) unmount() {
	if points, err := mounts.Points(); err == nil && points[l.path("/var/mail")] != "" {
		storeMust(l.T, mounts.Unmount(l.path("/var/mail")))
	}
}

// fill creates files of all kinds.
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

// flags sets flags of chattr(1) on existing files.
func flags(t testing.TB, file string, to int) {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	storeMust(t, err)
	defer f.Close()
	err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, to)
	if !errors.Is(err, unix.EROFS) { // a share that a killed run has left
		storeMust(t, err)
	}
}

// flagsOf returns the flags of chattr(1) that a copy must have.
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
		plan, err := l.shares.PlanRemove(share.RemoveOptions{NameOrPath: "mail"})
		if err != nil {
			return err
		}
		return l.shares.Remove(context.Background(), plan)
	})
}

// keep makes a share snapshot, as in a departure to the other environment.
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
		plan, err := l.shares.PlanRestore(share.RestoreOptions{NameOrPath: "/var/mail", From: "other", InPlace: inPlace})
		if err != nil {
			return err
		}
		return l.shares.Restore(context.Background(), plan)
	})
}

// recover runs recovery, like the next command.
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

// isMounted reports whether the share is mounted at /var/mail.
func (l *shareLab) isMounted() bool {
	l.Helper()
	points, err := mounts.Points()
	storeMust(l.T, err)
	return points[l.path("/var/mail")] == "@share/mail"
}

// fstabNames reports whether the fstab of an environment names the share.
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
