package setup

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

const installed = `# /etc/fstab: static file system information.
UUID=1-2 /               btrfs   defaults,subvol=@rootfs 0       0
UUID=3-4 /boot ext4 defaults	0	2

UUID=AB-CD /boot/efi vfat umask=0077 0 1`

func TestFstabOf(t *testing.T) {
	grub := Layout{Loader: be.LoaderGRUB, FSUUID: "1-2"}
	ext4 := grub
	ext4.Boot = &Mount{Dir: "/boot", Type: "ext4", UUID: "3-4"}
	converted := grub
	converted.Menu = &Mount{Dir: "/boot/grub", Type: "ext4", UUID: "3-4"}
	home := "UUID=1-2 /var/lib/apt-be btrfs subvol=@apt-be,nosuid,nodev,nofail 0 0"
	own := "UUID=3-4 /boot/grub ext4 defaults,X-mount.subdir=grub,nofail 0 2"
	for _, test := range []struct {
		name    string
		machine Layout
		want    []string
	}{
		{"grub", grub, []string{home, "UUID=1-2 /boot/grub btrfs subvol=@grub,nofail 0 0"}},
		{"ext4", ext4, []string{home, own}},
		{"ext4 as it is after", converted, []string{home, own}},
		{"systemd-boot", Layout{Loader: be.LoaderSystemdBoot, FSUUID: "1-2"}, []string{home}},
	} {
		if got := fstabOf(test.machine).Lines; strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestFstabAddAndRemove(t *testing.T) {
	f := fstabOf(Layout{Loader: be.LoaderGRUB, FSUUID: "1-2", Boot: &Mount{Type: "ext4", UUID: "3-4"}})
	for _, original := range []string{installed, installed + "\n", "", "x\n", "UUID=9 /boot/grub ext4 defaults 0 0\n"} {
		added := f.Add(original)
		if !f.Has(added) || f.Has(original) {
			t.Errorf("%q: not added:\n%s", original, added)
		}
		if again := f.Add(added); again != added {
			t.Errorf("not idempotent:\n%s\n%s", added, again)
		}
		for line := range strings.Lines(added) {
			if mountPointOf(line) == "/boot" {
				t.Errorf("the line for /boot stays: %s", line)
			}
		}
		if removed := f.Remove(added); strings.TrimSuffix(removed, "\n") != strings.TrimSuffix(original, "\n") {
			t.Errorf("not as it was:\n%q\n%q", original, removed)
		}
	}
}
