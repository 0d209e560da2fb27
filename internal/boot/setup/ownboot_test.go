package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/apt-be/apt-be/tests/expect"
)

// ownBoot is a machine with a separate file system at /boot. Mounts have an effect: a
// mount moves the directory that represents the file system to the mount point, and a
// second mount is a link to it.
type ownBoot struct {
	*fakeHost
	i    *Installer
	home string // the directory of the unmounted file system
	now  string // its current directory
	own  string // the root's own /boot, below the mount
}

func newOwnBoot(t *testing.T) *ownBoot {
	t.Helper()
	f, i := newInstaller(t)
	root := f.Root
	home := filepath.Join(f.dir, "ext4")
	b := &ownBoot{fakeHost: f, i: i, home: home, now: home, own: root + "/boot"}
	f.Root = filepath.Join(f.dir, "view")
	f.mounts = nil
	f.mount("", "vda1", "btrfs", "/@rootfs")
	for _, dir := range []string{"etc", "usr", "var"} {
		// The link is relative, because the test's directory may itself be below a
		// /var.
		target, err := filepath.Rel(f.Root, filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		f.link(target, filepath.Join(f.Root, dir))
	}
	f.lacks("../store/@rootfs/boot")
	if err := os.RemoveAll(b.own); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(b.own, 0o755), os.Symlink(b.own, f.Root+"/boot")); err != nil {
		t.Fatal(err)
	}
	f.write(b.home+"/vmlinuz-6.1", "kernel 6.1")
	f.write(b.home+"/initrd.img-6.1", "initrd of 6.1")
	f.link("vmlinuz-6.1", b.home+"/vmlinuz")
	f.write(b.home+"/grub/grub.cfg", "linux /vmlinuz-6.1 rootflags=subvol=@rootfs\n")
	run := f.Host.Run
	f.Host.Run = func(ctx context.Context, name string, args ...string) (string, error) {
		b.check("before " + name)
		switch {
		case name == f.fail:
		case name == "mount":
			return "", b.mount(args[len(args)-2], args[len(args)-1])
		case name == "grub-mkconfig":
			b.updateGRUB()
			return "", nil
		}
		return run(ctx, name, args...)
	}
	f.Host.Unmount = b.unmount
	i.RemoveMenu = func() error {
		f.lacks(grubMenu)
		b.check("when the menu goes")
		return nil
	}
	if err := b.mount("", f.Root+"/boot"); err != nil {
		t.Fatal(err)
	}
	return b
}

// mount mounts the file system, or binds its directory grub.
func (b *ownBoot) mount(source, dir string) error {
	from, root := b.now, "/"
	if filepath.Base(source) == "grub" {
		from, root = b.home+"/grub", "/grub"
	}
	b.mounts = append(b.mounts, &mountinfo.Info{Mountpoint: dir, Source: filepath.Join(b.Dev, "vda2"), FSType: "ext4", Root: root})
	if err := os.Remove(dir); err != nil {
		return err
	}
	if from == b.home {
		b.now = dir
		return os.Rename(from, dir)
	}
	return os.Symlink(from, dir)
}

func (b *ownBoot) unmount(dir string) error {
	n := slices.IndexFunc(b.mounts, func(m *mountinfo.Info) bool { return m.Mountpoint == dir })
	if n < 0 {
		return errors.New("not mounted")
	}
	b.check("before " + dir + " is unmounted")
	b.mounts = slices.Delete(b.mounts, n, n+1)
	if b.now == dir {
		b.now = b.home
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil || strings.HasSuffix(dir, HomeMount):
		return err
	case dir == b.Host.Root+"/boot":
		return errors.Join(os.Rename(dir, b.home), os.Symlink(b.own, dir))
	case info.IsDir():
		err = os.Rename(dir, b.home)
	default:
		err = os.Remove(dir)
	}
	return errors.Join(err, os.Mkdir(dir, 0o755))
}

// updateGRUB emulates update-grub.
func (b *ownBoot) updateGRUB() {
	b.Helper()
	text, top := "source apt-be.cfg\n", "/"
	if b.now == b.home {
		top = "/@rootfs/boot/"
	}
	if info, err := os.Stat(b.i.path("@rootfs/etc/grub.d/10_linux")); err != nil {
		b.Fatal(err)
	} else if info.Mode()&0o100 != 0 {
		kernels, _ := filepath.Glob(b.Host.Root + "/boot/vmlinuz-*")
		for _, kernel := range slices.Backward(kernels) {
			text += "linux " + top + filepath.Base(kernel) + " rootflags=subvol=@rootfs\n"
		}
	}
	b.has(grubConfig, text)
}

// reboot mounts the entries of the fstab.
func (b *ownBoot) reboot() {
	b.Helper()
	for _, dir := range []string{"/boot/grub", "/boot", HomeMount} {
		if m, err := b.mountAt(dir); err != nil || m != nil && b.unmount(b.Host.path(dir)) != nil {
			b.Fatalf("cannot unmount %s", dir)
		}
	}
	table, err := os.ReadFile(b.i.path("@rootfs/etc/fstab"))
	switch {
	case err != nil:
	case strings.Contains(string(table), " /boot/grub "):
		err = b.mount("grub", b.Host.Root+"/boot/grub")
	default:
		err = b.mount("", b.Host.Root+"/boot")
	}
	if err != nil {
		b.Fatal(err)
	}
}

// check checks that GRUB has a menu, and that all kernels of the menu exist.
func (b *ownBoot) check(when string) {
	b.Helper()
	config, err := os.ReadFile(b.now + "/grub/grub.cfg")
	if err != nil {
		b.Fatal(err)
	}
	menu, _ := os.ReadFile(b.now + "/grub/apt-be.cfg")
	kernels := 0
	for line := range strings.Lines(string(config)) {
		words := strings.Fields(line)
		if words[0] != "linux" {
			continue
		}
		kernels++
		file := b.now + words[1]
		if inside, ok := strings.CutPrefix(words[1], "/@rootfs/"); ok {
			file = b.i.path("@rootfs/" + inside)
		}
		if !isFile(file) {
			b.Errorf("%s: the menu names %s, which is gone", when, words[1])
		}
	}
	if kernels == 0 && len(menu) == 0 {
		b.Errorf("%s: the menu is empty", when)
	}
}

func TestOwnBoot(t *testing.T) {
	ctx := context.Background()
	b := newOwnBoot(t)
	before := b.tree(b.i)
	m := detect(t, b.fakeHost)
	if m.Boot == nil {
		t.Fatal("it has no /boot of its own")
	}
	if err := b.i.Install(ctx, m); err != nil {
		t.Fatal(err)
	}
	b.check("after init")
	if isFile(b.home+"/vmlinuz-6.1") || !isFile(b.own+"/vmlinuz-6.1") || b.Host.has(grubBefore) {
		t.Error("the kernels are not where they should be")
	}
	b.write(b.own+"/vmlinuz-6.12", "kernel 6.12")
	if err := b.i.Remove(ctx, detect(t, b.fakeHost)); err != nil {
		t.Fatal(err)
	}
	b.check("after init --undo")
	if after := b.tree(b.i); after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
	if !b.Host.has("boot/vmlinuz-6.12") || !b.Host.has("boot/vmlinuz-6.1") {
		t.Error("a kernel is gone")
	}
}

// The next command removes files that the commit left.
func TestOwnBootClearedUpLater(t *testing.T) {
	b := newOwnBoot(t)
	clearUp := false
	run := b.Host.Run
	b.Host.Run = func(ctx context.Context, name string, args ...string) (string, error) {
		if done, _ := b.i.Done(); done != nil && !clearUp {
			return "", errors.New("a power cut")
		}
		return run(ctx, name, args...)
	}
	if err := b.i.Install(context.Background(), detect(t, b.fakeHost)); err != nil {
		t.Fatal(err)
	}
	if !isFile(b.home + "/vmlinuz-6.1") {
		t.Fatal("it is cleared up")
	}
	clearUp = true
	if err := recoverAll(b.i); err != nil {
		t.Fatal(err)
	}
	if isFile(b.home+"/vmlinuz-6.1") || b.Host.has(grubBefore) {
		t.Error("it is not cleared up")
	}
	b.check("then")
}

// Wherever init is interrupted, and whatever packages are installed and removed before
// its undo, all kernels exist, and a menu boots them.
func TestOwnBootCutOff(t *testing.T) {
	var kinds []string
	for done := 1; len(kinds) == done-1; done++ {
		for _, what := range []string{"at once", "unmounted", "rebooted", "upgraded", "upgraded, and failed"} {
			b := newOwnBoot(t)
			before := b.tree(b.i)
			kinds = cutOff(t, b.i, plan(t, b.fakeHost, b.i), done)
			when := fmt.Sprintf("%s after %d parts (%s)", what, len(kinds), kinds[len(kinds)-1])
			switch {
			case what == "unmounted":
				_ = b.unmount(b.Host.path("boot"))
			case what != "at once":
				b.reboot()
			}
			if strings.HasPrefix(what, "upgraded") {
				expect.NextTick(t) // the installed files are newer than the copies
				b.has("boot/vmlinuz-6.12", "kernel 6.12")
				b.has("boot/initrd.img-6.1", "a new initrd of 6.1")
				b.updateGRUB()
			}
			b.check(when)
			if what == "upgraded, and failed" {
				for _, command := range []string{"mount", "grub-mkconfig", "dpkg-statoverride"} {
					b.fail = command
					_ = recoverAll(b.i)
					b.check(when + ", " + command + " fails")
				}
				b.fail = ""
				b.reboot()
			}
			if err := recoverAll(b.i); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			b.check(when + ", undone")
			if after := b.tree(b.i); after != before {
				t.Errorf("%s: not as it was:\n%s\nbefore:\n%s", when, after, before)
			}
			if mounted, err := b.mountAt("/boot"); err != nil || mounted == nil && (what != "unmounted" || done > 1) {
				t.Errorf("%s: %v: /boot is not mounted", when, err)
			}
			if strings.HasPrefix(what, "upgraded") {
				initrd, _ := os.ReadFile(b.Host.path("boot/initrd.img-6.1"))
				config, _ := os.ReadFile(b.Host.path(grubConfig))
				if !b.Host.has("boot/vmlinuz-6.12") || string(initrd) != "a new initrd of 6.1" || !strings.Contains(string(config), "/vmlinuz-6.12") {
					t.Errorf("%s: what was installed is gone; the menu is\n%s", when, config)
				}
			}
			if unsettled, err := b.i.journal().Unsettled(); err != nil || len(unsettled) > 0 {
				t.Errorf("%s: %v: %v", when, err, unsettled)
			}
		}
	}
}

// The same for an interrupted init --undo.
func TestOwnBootRemovalCutOff(t *testing.T) {
	var kinds []string
	for done := 1; len(kinds) == done-1; done++ {
		b := newOwnBoot(t)
		if err := b.i.Install(context.Background(), detect(t, b.fakeHost)); err != nil {
			t.Fatal(err)
		}
		before := b.tree(b.i)
		steps, err := b.i.Removal(detect(t, b.fakeHost))
		if err != nil {
			t.Fatal(err)
		}
		kinds = cutOff(t, b.i, steps, done)
		when := fmt.Sprintf("after %d parts (%s)", len(kinds), kinds[len(kinds)-1])
		b.reboot()
		b.has("boot/vmlinuz-6.12", "kernel 6.12")
		b.updateGRUB()
		b.check(when)
		if err := recoverAll(b.i); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		b.check(when + ", undone")
		if mounted, err := b.mountAt("/boot"); err != nil || mounted != nil || !isFile(b.own+"/vmlinuz-6.12") {
			t.Errorf("%s: %v: the kernel that was installed is gone; %v", when, err, mounted)
		}
		if err := os.Remove(b.own + "/vmlinuz-6.12"); err != nil {
			t.Error(err)
		}
		if after := b.tree(b.i); after != before {
			t.Errorf("%s: not as it was:\n%s\nbefore:\n%s", when, after, before)
		}
	}
}
