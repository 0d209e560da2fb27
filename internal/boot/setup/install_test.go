package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// newInstaller returns a fake machine whose root is @rootfs of a fake store. Mounts
// have no effect: a test sees the directories below.
func newInstaller(t *testing.T) (*fakeHost, *Installer) {
	t.Helper()
	f := newFakeHost(t)
	st, err := fake.New(filepath.Join(f.dir, "store"))
	if err == nil {
		err = errors.Join(st.Create("@rootfs"), st.SetRunning("@rootfs"), st.Create("@be/older"))
	}
	if err == nil {
		err = os.CopyFS(st.Path("@rootfs"), os.DirFS(f.Root))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range f.mounts {
		if inside, ok := strings.CutPrefix(m.Mountpoint, f.Root); ok {
			m.Mountpoint = st.Path("@rootfs") + inside
		}
	}
	f.Root = st.Path("@rootfs")
	f.program("etc/grub.d/10_linux")
	f.program("usr/sbin/grub-install")
	f.has("etc/fstab", "UUID=1-2 / btrfs subvol=@rootfs 0 0\n")
	f.has("var/lib/dpkg/statoverride", "root crontab 2755 /usr/bin/crontab\n")
	f.write(st.Path("@be/older/etc/fstab"), "UUID=1-2 / btrfs subvol=@be/older 0 0\n")
	plain := f.Host.Run
	f.Host.Run = func(ctx context.Context, name string, args ...string) (string, error) {
		out, err := plain(ctx, name, args...)
		if err == nil {
			err = f.emulate(name, args)
		}
		return out, err
	}
	identify := func(string) (be.Identity, error) {
		return be.Identity{Title: "Debian", Kernels: []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz-6.1"}}}, nil
	}
	i := &Installer{Host: f.Host, Registry: be.NewRegistry(st, "/", identify)}
	i.Menu = func(name string) error {
		if f.fail == "menu" {
			return errors.New("no menu")
		}
		f.has("boot/grub/apt-be.cfg", "linux /@rootfs/boot/vmlinuz rootflags=subvol=@rootfs\n")
		return nil
	}
	i.RemoveMenu = func() error { f.lacks("boot/grub/apt-be.cfg"); return nil }
	release, err := i.Registry.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return f, i
}

// emulate has the effect of some commands.
func (f *fakeHost) emulate(name string, args []string) error {
	switch name {
	case "dpkg-statoverride":
		file := filepath.Join(args[1], "statoverride")
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		path, text := args[len(args)-1], ""
		for line := range strings.Lines(string(data)) {
			if !strings.HasSuffix(line, " "+path+"\n") {
				text += line
			}
		}
		if args[2] == "--add" {
			text += strings.Join(args[3:], " ") + "\n"
		}
		f.write(file, text)
	case "grub-mkconfig":
		text := "source apt-be.cfg\n"
		if info, err := os.Stat(filepath.Join(f.Root, "etc/grub.d/10_linux")); err == nil && info.Mode()&0o100 != 0 {
			text += "linux /@rootfs/boot/vmlinuz rootflags=subvol=@rootfs\n"
		}
		f.has("boot/grub/grub.cfg", text)
	case "unshare":
		if args[len(args)-3] == "grub-mkconfig" {
			return f.emulate("grub-mkconfig", nil)
		}
	}
	return nil
}

// tree returns the contents of the store with modes, without the registry.
func (f *fakeHost) tree(i *Installer) string {
	f.Helper()
	var out strings.Builder
	top := i.path(".")
	err := filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, _ := filepath.Rel(top, file)
		if path == journalDir || path == "@rootfs/var/lib/apt-be" || path == "@rootfs/boot/grub" || path == be.HomeDir+"/be" {
			if path == "@rootfs/boot/grub" {
				return nil
			}
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := []byte(nil)
		if entry.Type().IsRegular() && filepath.Base(path) != "lock" {
			content, err = os.ReadFile(file)
		}
		fmt.Fprintf(&out, "%s %s %s\n", path, info.Mode(), content)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return out.String()
}

func detect(t *testing.T, f *fakeHost) Layout {
	t.Helper()
	m, err := Detect(f.Host)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInstallAndRemove(t *testing.T) {
	ctx := context.Background()
	f, i := newInstaller(t)
	before := f.tree(i)
	m := detect(t, f)
	if err := i.Install(ctx, m); err != nil {
		t.Fatal(err)
	}
	if _, err := i.store().Get(be.GRUBDir); err != nil {
		t.Error(err)
	}
	for _, subvolume := range []string{"@rootfs", "@be/older"} {
		text, err := os.ReadFile(i.path(subvolume + "/etc/fstab"))
		if err != nil || !fstabOf(m).Has(string(text)) {
			t.Errorf("%v: the fstab of %s is\n%s", err, subvolume, text)
		}
	}
	if now, err := statOverride(f.Root, "/etc/grub.d/10_linux"); err != nil || now != switchedOff {
		t.Errorf("%v: 10_linux is not switched off: %q", err, now)
	}
	if all := strings.Join(f.ran, "\n"); !strings.Contains(all, "grub-install --target=i386-pc "+f.Dev+"/vda") ||
		strings.Index(all, "grub-script-check") > strings.Index(all, "grub-install") {
		t.Errorf("what ran:\n%s", all)
	}
	done, err := i.Done()
	if err != nil || done == nil || done.Machine.Subvolume != "@rootfs" {
		t.Fatalf("%v: %+v", err, done)
	}
	if err := i.Remove(ctx, detect(t, f)); err != nil {
		t.Fatal(err)
	}
	f.has("boot/grub/grub.cfg", "old menu")
	if after := f.tree(i); after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
	if len(f.mounts) != 1 {
		t.Errorf("%d mounts are left", len(f.mounts))
	}
	if err := i.Remove(ctx, m); !errors.Is(err, be.ErrNotSetUp) {
		t.Error(err)
	}
}

// Whatever fails, the machine is unchanged.
func TestInstallFails(t *testing.T) {
	for _, command := range []string{"dpkg-statoverride", "menu", "grub-mkconfig", "grub-script-check", "grub-install"} {
		t.Run(command, func(t *testing.T) {
			f, i := newInstaller(t)
			before := f.tree(i)
			f.fail = command
			if err := i.Install(context.Background(), detect(t, f)); err == nil {
				t.Fatal("it succeeds")
			}
			if after := f.tree(i); after != before {
				t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
			}
			if len(f.mounts) != 1 {
				t.Errorf("%d mounts are left", len(f.mounts))
			}
			unsettled, err := i.journal().Unsettled()
			if err != nil || len(unsettled) != 0 {
				t.Errorf("%v: %v", err, unsettled)
			}
		})
	}
}

func TestGRUBInstall(t *testing.T) {
	esp := &Mount{Dir: "/boot/efi"}
	for _, test := range []struct {
		machine Layout
		want    string
	}{
		{Layout{GRUB: &GRUB{Target: "i386-pc", Devices: []string{"/dev/a", "/dev/b"}}}, `[["grub-install","--target=i386-pc","/dev/a"],["grub-install","--target=i386-pc","/dev/b"]]`},
		{Layout{ESP: esp, GRUB: &GRUB{Target: "x86_64-efi"}}, `[["grub-install","--target=x86_64-efi"]]`},
		{Layout{ESP: esp, GRUB: &GRUB{Target: "x86_64-efi", Removable: true}}, `[["grub-install","--target=x86_64-efi","--force-extra-removable"]]`},
		{Layout{ESP: &Mount{Dir: "/efi"}, GRUB: &GRUB{Target: "x86_64-efi", Removable: true, OnlyRemovable: true, NoVariables: true}}, `[["grub-install","--target=x86_64-efi","--removable","--efi-directory=/efi","--no-nvram"]]`},
	} {
		step, err := grubInstallStep(test.machine)
		if got := step.Args["commands"]; err != nil || got != test.want {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	f, i := newInstaller(t)
	m := detect(t, f)
	if err := i.store().Create(be.GRUBDir); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Plan(m); !errors.Is(err, ErrLayout) {
		t.Error(err)
	}
	m.Boot = &Mount{Dir: "/boot", Type: "ext4", UUID: "3-4"}
	f.has("boot/vmlinuz-6.1", "")
	if _, err := i.Plan(m); !errors.Is(err, ErrLayout) {
		t.Error(err)
	}
}

func TestStockEntries(t *testing.T) {
	ctx := context.Background()
	f, i := newInstaller(t)
	f.has("boot/vmlinuz-6.1", "")
	stock := "# File created by /usr/lib/kernel/install.d/90-loaderentry.install\nversion 6.1\nlinux /token/6.1/linux\ninitrd /token/6.1/initrd\n"
	f.has("efi/loader/entries/token-6.1.conf", stock)
	f.has("efi/loader/entries/memtest.conf", "linux /memtest\n")
	f.has("efi/token/6.1/linux", "")
	f.has("efi/token/6.1/initrd", "")
	args := map[string]string{"esp": "/efi"}
	entry := filepath.Join(f.Root, "efi/loader/entries/token-6.1.conf")
	if err := i.moveStockEntries(ctx, args); err != nil || isFile(entry) {
		t.Fatalf("%v, or it is still there", err)
	}
	if !isFile(filepath.Join(f.Root, "efi/loader/entries/memtest.conf")) {
		t.Error("the entry of somebody else is gone")
	}
	if err := i.restoreStockEntries(ctx, args); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(entry); err != nil || string(text) != stock {
		t.Errorf("%v: %s", err, text)
	}
	if err := i.moveStockEntries(ctx, args); err != nil {
		t.Fatal(err)
	}
	if err := i.removeStockKernels(Layout{ESP: &Mount{Dir: "/efi"}}); err != nil {
		t.Fatal(err)
	}
	if isFile(filepath.Join(f.Root, "efi/token/6.1/linux")) || !f.Host.has("efi/token") {
		t.Error("the kernel stays, or the directory of all goes")
	}
	if err := i.restoreStockEntries(ctx, args); err == nil || !strings.Contains(strings.Join(f.ran, "\n"), "kernel-install add 6.1") {
		t.Errorf("%v; ran %q", err, f.ran)
	}
}

func TestLayout(t *testing.T) {
	_, i := newInstaller(t)
	file := i.path("@rootfs/" + installConf)
	args := map[string]string{"subvolume": "@rootfs"}
	for _, original := range []string{"", "# mine\nlayout=bls\ninitrd_generator=none\n"} {
		if original != "" {
			if err := os.WriteFile(file, []byte(original), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := i.setLayout(context.Background(), args); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.Count("\n"+string(text), "\nlayout=") != 1 || !strings.Contains(string(text), "\nlayout=other\n") {
			t.Errorf("%v:\n%s", err, text)
		}
		if err := i.unsetLayout(context.Background(), args); err != nil {
			t.Fatal(err)
		}
		if text, err := readIfAny(file); err != nil || string(text) != original {
			t.Errorf("%v:\n%s", err, text)
		}
	}
}
