package btrfs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// shareChild is the variable that tells a process of this test binary its task: "add
// DEVICE ROOT N".
const shareChild = "APT_BE_SHARE_CHILD"

// mortal is a store that kills its process before the nth call of any kind.
type mortal struct {
	store.Store
	left int
}

func (m *mortal) tick() {
	if m.left--; m.left == 0 {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}

func (m *mortal) around(do func() error) error {
	m.tick()
	defer m.tick()
	return do()
}

func (m *mortal) Get(p string) (store.Subvolume, error)    { m.tick(); return m.Store.Get(p) }
func (m *mortal) List(p string) ([]store.Subvolume, error) { m.tick(); return m.Store.List(p) }
func (m *mortal) Create(p string) error                    { return m.around(func() error { return m.Store.Create(p) }) }
func (m *mortal) Delete(p string) error                    { return m.around(func() error { return m.Store.Delete(p) }) }
func (m *mortal) Rename(p, to string) error {
	return m.around(func() error { return m.Store.Rename(p, to) })
}
func (m *mortal) Exchange(p, with string) error {
	return m.around(func() error { return m.Store.Exchange(p, with) })
}
func (m *mortal) Snapshot(src, dst string, frozen bool) error {
	return m.around(func() error { return m.Store.Snapshot(src, dst, frozen) })
}
func (m *mortal) SetReadOnly(p string, frozen bool) error {
	return m.around(func() error { return m.Store.SetReadOnly(p, frozen) })
}
func (m *mortal) Sync() error { return m.around(m.Store.Sync) }

// mortalMachine does the same for mounts.
type mortalMachine struct {
	share.RunningHost
	store *mortal
}

func (m mortalMachine) Mount(e fstab.Entry) error {
	return m.store.around(func() error { return m.RunningHost.Mount(e) })
}

func (m mortalMachine) Unmount(dir string) error {
	return m.store.around(func() error { return m.RunningHost.Unmount(dir) })
}

// TestShareChild is the process that TestShareKilled kills.
func TestShareChild(t *testing.T) {
	words := strings.Fields(os.Getenv(shareChild))
	if len(words) != 4 {
		return
	}
	s, err := btrfs.OpenDevice(words[1])
	storeMust(t, err)
	defer s.Close()
	n, err := strconv.Atoi(words[3])
	storeMust(t, err)
	st := &mortal{Store: s, left: n}
	l := &shareLab{T: t, device: words[1], root: words[2]}
	l.open(st)
	l.shares = share.New(l.reg, mortalMachine{share.RunningHost{Root: l.root, Device: l.device}, st})
	switch words[0] {
	case "add":
		err = l.add()
	case "remove":
		err = l.remove()
	case "restore":
		err = l.restore()
	}
	storeMust(t, err)
}

// killed runs an operation in a process that is killed at the nth call, and reports
// whether it was killed.
func (l *shareLab) killed(operation string, n int) bool {
	l.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestShareChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", shareChild, operation, l.device, l.root, n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return false
	}
	if !errors.As(err, &exit) || exit.Sys().(interface{ Signaled() bool }).Signaled() == false {
		l.Fatalf("%s, killed at %d: %v\n%s", operation, n, err, out)
	}
	return true
}

// Wherever the process is killed, and whether the machine continues or is reset: after
// the next command all data exists once.
func TestShareKilled(t *testing.T) {
	for _, operation := range []string{"add", "remove", "restore"} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/reset %v", operation, reset), func(t *testing.T) {
				l := newShareLab(t)
				before := machine.FingerprintOf(t, l.path("/var/mail"))
				written, err := os.Stat(l.path("/var/mail/al"))
				storeMust(t, err)
				n := 1
				for ; ; n++ {
					l.start(operation)
					killed := l.killed(operation, n)
					if killed && reset {
						l.reset()
					}
					l.recover()
					l.checkWhole(operation, n)
					storeMust(t, os.Chtimes(l.path("/var/mail/al"), written.ModTime(), written.ModTime()))
					if diff := cmp.Diff(before, machine.FingerprintOf(t, l.path("/var/mail"))); diff != "" {
						t.Fatalf("%s, killed at %d (-before +after):\n%s", operation, n, diff)
					}
					if !killed {
						break
					}
				}
				if n < 15 {
					t.Errorf("it was over after %d calls", n)
				}
			})
		}
	}
}

// At any moment, the disk's state has all data exactly once after the first command of
// the next boot.
func TestSharePowerCut(t *testing.T) {
	for _, operation := range []string{"add", "remove", "restore"} {
		t.Run(operation, func(t *testing.T) {
			for n, cut := 1, true; cut; n += 2 { // a call, and the state after it, count as two
				cut = sharePowerCut(t, operation, n)
			}
		})
	}
}

func sharePowerCut(t *testing.T, operation string, n int) (cut bool) {
	disk := filepath.Join(t.TempDir(), "disk")
	var before machine.Fingerprint
	t.Run(fmt.Sprintf("%d/cut", n), func(t *testing.T) {
		l := newShareLab(t)
		before = machine.FingerprintOf(t, l.path("/var/mail"))
		l.start(operation)
		storeMust(t, l.store.Sync())
		cut = l.killed(operation, n)
		if out, err := exec.Command("cp", "--sparse=always", l.file, disk).CombinedOutput(); err != nil {
			t.Fatalf("cannot copy the disk: %v\n%s", err, out)
		}
	})
	t.Run(fmt.Sprintf("%d/boot", n), func(t *testing.T) {
		image := loop.Attach(t, disk)
		l := bootShareLab(t, openStore(t, image.Device), image)
		l.reset()
		l.recover()
		l.checkWhole(operation, n)
		after := machine.FingerprintOf(t, l.path("/var/mail"))
		for _, name := range []string{"/al", "/deep/same"} { // which checkWhole writes to
			before[name], after[name] = "", ""
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s, cut off at %d (-before +after):\n%s", operation, n, diff)
		}
	})
	return cut
}

// start makes /var/mail the initial state of an operation.
func (l *shareLab) start(operation string) {
	l.Helper()
	l.open(l.store)
	if l.isMounted() {
		storeMust(l.T, l.remove())
	}
	storeMust(l.T, os.WriteFile(l.store.Path("@be/other/etc/fstab"), []byte(shareFstab), 0o644))
	if _, err := l.store.Get("@share/mail"); err == nil {
		storeMust(l.T, l.store.Delete("@share/mail"))
	}
	if operation != "add" {
		storeMust(l.T, l.add())
	}
	if operation == "restore" {
		storeMust(l.T, l.keep())
	}
}

// reset has the effect of a reset on mounts: the next boot mounts the fstab's entries.
func (l *shareLab) reset() {
	l.Helper()
	l.unmount()
	if l.fstabNames("@rootfs") {
		storeMust(l.T, mounts.MountBy(l.device, "btrfs", "subvol=@share/mail", l.path("/var/mail")))
	}
}

func (l *shareLab) checkWhole(operation string, n int) {
	l.Helper()
	if l.isMounted() != l.fstabNames("@rootfs") {
		l.Errorf("%s, killed at %d: mounted is %v, and in the fstab %v", operation, n, l.isMounted(), l.fstabNames("@rootfs"))
	}
	if left := l.left(); len(left) > 0 {
		l.Errorf("%s, killed at %d: %q is left", operation, n, left)
	}
	if l.isMounted() {
		storeMust(l.T, os.WriteFile(l.path("/var/mail/al"), []byte("mail"), 0))
		if names, err := os.ReadDir(l.store.Path("@rootfs/var/mail")); err != nil || len(names) > 0 {
			l.Errorf("%s, killed at %d: below the share are %v, %v", operation, n, names, err)
		}
	}
	shares, err := l.store.List(share.Dir)
	storeMust(l.T, err)
	if operation == "restore" && len(shares) == 2 { // the existing data, which is kept
		storeMust(l.T, l.store.Delete(shares[1].Path))
		shares = shares[:1]
	}
	if wanted := l.isMounted() || l.fstabNames("@be/other"); wanted != (len(shares) == 1) {
		l.Errorf("%s, killed at %d: there are %+v", operation, n, shares)
	}
}
