package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/moby/sys/mountinfo"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// fakeHost is a machine that consists of files.
type fakeHost struct {
	*testing.T
	*Host
	dir    string
	mounts []*mountinfo.Info
	ran    []string // the command lines, in order
	fail   string   // the command that fails
}

const bootSector = "\xeb\x63\x90 GRUB \x00Geom\x00Hard Disk\x00Read\x00 Error\r\n\x00"

// newFakeHost returns a machine with a BIOS and GRUB, completely in @rootfs on vda1.
func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	f := &fakeHost{T: t, dir: t.TempDir()}
	f.Host = &Host{
		Root: filepath.Join(f.dir, "root"), Sys: filepath.Join(f.dir, "sys"), Dev: filepath.Join(f.dir, "dev"),
		Mounts: func() ([]*mountinfo.Info, error) { return f.mounts, nil },
		Run: func(_ context.Context, name string, args ...string) (string, error) {
			f.ran = append(f.ran, strings.Join(append([]string{name}, args...), " "))
			if name == f.fail {
				return "", errors.New(name + ": exit status 1")
			}
			return "", nil
		},
		Mount: func(_, target, kind, data string) error {
			f.mount(strings.TrimPrefix(target, f.Root), "vda1", kind, strings.TrimPrefix(data, "subvol="))
			return nil
		},
		Unmount: func(target string) error {
			for n := len(f.mounts) - 1; n >= 0; n-- {
				if f.mounts[n].Mountpoint == target {
					f.mounts = append(f.mounts[:n:n], f.mounts[n+1:]...)
					return nil
				}
			}
			return errors.New("not mounted")
		},
	}
	for _, device := range []string{"vda", "vda1", "vda2"} {
		dir := filepath.Join(f.Sys, "devices/vda", strings.TrimPrefix(device, "vda"))
		f.write(filepath.Join(dir, "size"), "1")
		if device != "vda" {
			f.write(filepath.Join(dir, "partition"), "1")
		}
		f.link(dir, filepath.Join(f.Sys, "class/block", device))
		f.write(filepath.Join(f.Dev, device), "")
	}
	f.write(filepath.Join(f.Dev, "vda"), bootSector+strings.Repeat("\x00", 512))
	f.write(filepath.Join(f.Sys, "fs/btrfs/1-2/devices/vda1"), "")
	f.link(filepath.Join(f.Dev, "vda1"), filepath.Join(f.Dev, "disk/by-uuid/1-2"))
	f.link(filepath.Join(f.Dev, "vda2"), filepath.Join(f.Dev, "disk/by-uuid/3-4"))
	f.mount("", "vda1", "btrfs", "/@rootfs")
	f.has("boot/grub/grub.cfg", "old menu")
	f.program("usr/sbin/grub-install")
	f.program("etc/grub.d/10_linux")
	f.has("usr/lib/grub/i386-pc/modinfo.sh", "")
	return f
}

func (f *fakeHost) write(file, content string) {
	f.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		f.Fatal(err)
	}
}

func (f *fakeHost) link(target, file string) {
	f.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.Symlink(target, file)); err != nil {
		f.Fatal(err)
	}
}

// has writes a file to the root.
func (f *fakeHost) has(file, content string) { f.write(filepath.Join(f.Root, file), content) }

func (f *fakeHost) program(file string) {
	f.has(file, "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(f.Root, file), 0o755); err != nil {
		f.Fatal(err)
	}
}

func (f *fakeHost) lacks(file string) {
	if err := os.RemoveAll(filepath.Join(f.Root, file)); err != nil {
		f.Fatal(err)
	}
}

func (f *fakeHost) mount(dir, device, kind, root string) {
	if !strings.HasPrefix(device, "/") {
		device = filepath.Join(f.Dev, device)
	}
	f.mounts = append(f.mounts, &mountinfo.Info{Mountpoint: filepath.Join(f.Root, dir), Source: device, FSType: kind, Root: root})
}

// efi gives the machine UEFI, and an EFI system partition at a directory.
func (f *fakeHost) efi(dir string) {
	f.write(filepath.Join(f.Sys, "firmware/efi/fw_platform_size"), "64\n")
	f.mounts = append(f.mounts, &mountinfo.Info{Mountpoint: filepath.Join(f.Sys, "firmware/efi/efivars"), FSType: "efivarfs", Options: "rw,nosuid"})
	f.has("usr/lib/grub/x86_64-efi/modinfo.sh", "")
	f.has(filepath.Join(dir, "EFI/debian/grubx64.efi"), "GRUB")
	f.mount(dir, "vda2", "vfat", "/")
}

func (f *fakeHost) booted(by string) {
	value := "\x06\x00\x00\x00"
	for _, unit := range utf16.Encode([]rune(by + "\x00")) {
		value += string([]byte{byte(unit), byte(unit >> 8)})
	}
	f.write(filepath.Join(f.Sys, "firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), value)
}

func TestDetect(t *testing.T) {
	tests := []struct {
		name string
		make func(*fakeHost)
		want string // the summary, and further findings
		err  error
	}{
		{"bios", func(*fakeHost) {}, "BIOS, GRUB (i386-pc), root in @rootfs, partition vda1; [DEV/vda]", nil},
		{"debconf", func(f *fakeHost) {
			f.write(filepath.Join(f.Dev, "vdb"), "")
			f.has("var/cache/debconf/config.dat", fmt.Sprintf("Name: a\nValue: b\n\nName: grub-pc/install_devices\nTemplate: x\nValue: %s/vdb, %s/gone\n\n", f.Dev, f.Dev))
		}, "BIOS, GRUB (i386-pc), root in @rootfs, partition vda1; [DEV/vdb]", nil},
		{"ext4 /boot", func(f *fakeHost) { f.mount("boot", "vda2", "ext4", "/") },
			"BIOS, GRUB (i386-pc), root in @rootfs, separate /boot (ext4), partition vda1; [DEV/vda]", nil},
		{"uefi", func(f *fakeHost) { f.efi("boot/efi") },
			"UEFI, GRUB (x86_64-efi), root in @rootfs, partition vda1; []", nil},
		{"removable", func(f *fakeHost) { f.efi("boot/efi"); f.has("boot/efi/EFI/BOOT/BOOTX64.EFI", "xx GRUB xx") },
			"UEFI, GRUB (x86_64-efi), root in @rootfs, partition vda1; [] removable", nil},
		{"systemd-boot beside GRUB", func(f *fakeHost) { f.efi("efi"); f.booted("systemd-boot 257.9") },
			"UEFI, systemd-boot, root in @rootfs, partition vda1", nil},
		{"set up", func(f *fakeHost) { f.mount("boot/grub", "vda1", "btrfs", "/@grub") },
			"BIOS, GRUB (i386-pc), root in @rootfs, partition vda1; [DEV/vda]", nil},
		{"no btrfs", func(f *fakeHost) { f.mounts[0].FSType = "ext4" }, "", store.ErrUnsupported},
		{"top level", func(f *fakeHost) { f.mounts[0].Root = "/" }, "", ErrTopLevel},
		{"no loader", func(f *fakeHost) { f.lacks("boot/grub") }, "", ErrNoLoader},
		{"no grub-install", func(f *fakeHost) { f.lacks("usr/sbin") }, "", ErrNoLoader},
		{"no modules", func(f *fakeHost) { f.lacks("usr/lib/grub") }, "", ErrLayout},
		{"no boot sector", func(f *fakeHost) { f.write(filepath.Join(f.Dev, "vda"), strings.Repeat("\x00", 512)) }, "", ErrLayout},
		{"vfat /boot", func(f *fakeHost) { f.mount("boot", "vda2", "vfat", "/") }, "", ErrLayout},
		{"btrfs /boot", func(f *fakeHost) { f.mount("boot", "vda1", "btrfs", "/@boot") }, "", ErrLayout},
		{"other /boot/grub", func(f *fakeHost) { f.mount("boot/grub", "vda1", "btrfs", "/@other") }, "", ErrLayout},
		{"uefi, no ESP", func(f *fakeHost) { f.efi("boot/efi"); f.mounts = f.mounts[:2] }, "", ErrLayout},
		{"systemd-boot in /boot", func(f *fakeHost) { f.efi("boot"); f.booted("systemd-boot 252") }, "", ErrLayout},
		{"systemd-boot, no variables", func(f *fakeHost) { f.efi("efi"); f.booted("systemd-boot 252"); f.mounts[1].Options = "ro" }, "", ErrNoVariables},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeHost(t)
			test.make(f)
			m, err := Detect(f.Host)
			if !errors.Is(err, test.err) || test.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err != nil {
				if !Unprepared(err) && !errors.Is(err, store.ErrUnsupported) {
					t.Errorf("%v does not say that the machine can't be prepared", err)
				}
				return
			}
			got := m.Summary()
			if m.GRUB != nil {
				got += fmt.Sprintf("; %v", m.GRUB.Devices)
				if m.GRUB.Removable {
					got += " removable"
				}
			}
			if got = strings.ReplaceAll(got, f.Dev, "DEV"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestDetectDisks(t *testing.T) {
	f := newFakeHost(t)
	dm := filepath.Join(f.Sys, "devices/dm-0")
	f.write(filepath.Join(dm, "dm/name"), "root")
	f.link(filepath.Join(f.Sys, "class/block/vda1"), filepath.Join(dm, "slaves/vda1"))
	f.link(dm, filepath.Join(f.Sys, "class/block/dm-0"))
	if kind := kindOf(f.Host, "dm-0"); kind != "mapper" {
		t.Error(kind)
	}
	if disks := disksOf(f.Host, "dm-0"); len(disks) != 1 || disks[0] != "vda" {
		t.Error(disks)
	}
}

func TestBootOf(t *testing.T) {
	for _, test := range []struct {
		machine Layout
		want    be.Boot
	}{
		{Layout{Loader: be.LoaderGRUB}, be.Boot{Schema: 1, Loader: "grub", MenuInStore: true}},
		{Layout{Loader: be.LoaderGRUB, Boot: &Mount{}}, be.Boot{Schema: 1, Loader: "grub", KernelDir: "/boot/grub"}},
		{Layout{Loader: be.LoaderSystemdBoot, ESP: &Mount{Dir: "/efi"}}, be.Boot{Schema: 1, Loader: "systemd-boot", KernelDir: "/efi", ESP: "/efi"}},
	} {
		if got := bootOf(test.machine); got != test.want {
			t.Errorf("%+v", got)
		}
	}
}
