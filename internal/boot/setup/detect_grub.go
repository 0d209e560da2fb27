package setup

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// bootTypes are the types of a separate /boot that GRUB reads and that can hold GRUB's
// files and copies of kernels.
var bootTypes = []string{"ext2", "ext3", "ext4", "xfs"}

// checkGRUB returns the reason why a machine with GRUB cannot be set up.
func checkGRUB(h *Host, m Layout) error {
	ours := m.Menu != nil && (m.Menu.UUID == m.FSUUID && m.Menu.Subvolume == be.GRUBDir ||
		m.Menu.Subvolume == "grub" && slices.Contains(bootTypes, m.Menu.Type))
	switch {
	case m.Menu != nil && !ours:
		return fmt.Errorf("%w: /boot/grub is a separate file system (%s of %s)", ErrLayout, m.Menu.Type, m.Menu.Source)
	case m.Boot == nil:
		return nil
	case m.Boot.Type == "btrfs":
		return fmt.Errorf("%w: /boot is a separate btrfs subvolume (%q); move it into the root subvolume", ErrLayout, m.Boot.Subvolume)
	case m.ESP != nil && m.Boot.Dir == m.ESP.Dir:
		return fmt.Errorf("%w: /boot is the EFI system partition itself; move it into the root subvolume", ErrLayout)
	case !slices.Contains(bootTypes, m.Boot.Type):
		return fmt.Errorf("%w: /boot is a file system of type %s", ErrLayout, m.Boot.Type)
	case m.Boot.UUID == "":
		return fmt.Errorf("%w: udev has no UUID of the file system at /boot", ErrLayout)
	}
	return nil
}

// generatorNames are GRUB's scripts that add the running system's kernels to the menu.
var generatorNames = [...]string{"10_linux", "20_linux_xen"}

func findGRUB(h *Host, m Layout) (*GRUB, error) {
	g := &GRUB{Target: grubTarget(h, m.Firmware)}
	for _, name := range generatorNames {
		if h.has("etc/grub.d/" + name) {
			g.Generators = append(g.Generators, "/etc/grub.d/"+name)
		}
	}
	if !h.has("usr/lib/grub/" + g.Target + "/modinfo.sh") {
		return g, fmt.Errorf("%w: GRUB's modules for this firmware are not installed (%s)", ErrLayout, g.Target)
	}
	if m.Firmware == BIOS {
		g.Devices = bootSectors(h, m)
		if len(g.Devices) == 0 {
			return g, fmt.Errorf("%w: no disk has GRUB in its boot sector", ErrLayout)
		}
		return g, nil
	}
	if m.ESP == nil {
		return g, fmt.Errorf("%w: no EFI system partition is mounted at /efi, /boot or /boot/efi", ErrLayout)
	}
	g.Removable = isGRUB(h, m.ESP.Dir, "BOOT")
	g.OnlyRemovable = g.Removable && !slices.ContainsFunc(vendorDirs(h, m.ESP.Dir), func(dir string) bool { return isGRUB(h, m.ESP.Dir, dir) })
	g.NoVariables = !writableVariables(h) || debconf(h, "grub2/update_nvram") == "false"
	if !g.Removable && len(vendorDirs(h, m.ESP.Dir)) == 0 {
		return g, fmt.Errorf("%w: GRUB is not on the EFI system partition at %s", ErrLayout, m.ESP.Dir)
	}
	return g, nil
}

// grubTarget returns grub-install's platform for this machine.
func grubTarget(h *Host, firmware Firmware) string {
	if firmware == BIOS {
		return "i386-pc"
	}
	size, _ := os.ReadFile(filepath.Join(h.Sys, "firmware/efi/fw_platform_size"))
	switch {
	case h.has("usr/lib/grub/arm64-efi"):
		return "arm64-efi"
	case strings.TrimSpace(string(size)) == "32":
		return "i386-efi"
	}
	return "x86_64-efi"
}

// bootSectors finds the disks with GRUB in the boot sector: those in debconf's
// database, as for GRUB's package, or otherwise those of /boot that have GRUB.
func bootSectors(h *Host, m Layout) []string {
	var found []string
	for _, device := range strings.Split(debconf(h, "grub-pc/install_devices"), ",") {
		device = strings.TrimSpace(device)
		if _, err := os.Stat(device); device != "" && err == nil {
			found = append(found, device)
		}
	}
	if len(found) > 0 {
		return found
	}
	var holders []string
	for _, mount := range []*Mount{m.Menu, m.Boot} {
		if mount != nil && mount.Type != "btrfs" && len(holders) == 0 {
			if real, err := filepath.EvalSymlinks(mount.Source); err == nil {
				holders = append(holders, filepath.Base(real))
			}
		}
	}
	if len(holders) == 0 {
		for _, device := range m.Devices {
			holders = append(holders, device.Name)
		}
	}
	for _, holder := range holders {
		for _, disk := range disksOf(h, holder) {
			device := filepath.Join(h.Dev, disk)
			if startsGRUB(device) && !slices.Contains(found, device) {
				found = append(found, device)
			}
		}
	}
	return found
}

// startsGRUB reports whether the boot sector of a disk is GRUB's boot.img, which
// contains this in its messages.
func startsGRUB(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	sector := make([]byte, 512)
	_, err = io.ReadFull(f, sector)
	return err == nil && bytes.Contains(sector, []byte("GRUB \x00"))
}

// vendorDirs returns the directories below EFI, except BOOT, that contain a loader.
func vendorDirs(h *Host, esp string) []string {
	entries, err := os.ReadDir(filepath.Join(h.path(esp), "EFI"))
	if err != nil {
		return nil
	}
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() && !strings.EqualFold(entry.Name(), "BOOT") && isGRUB(h, esp, entry.Name()) {
			dirs = append(dirs, entry.Name())
		}
	}
	return dirs
}

// isGRUB reports whether a directory below EFI has GRUB, or the shim that starts GRUB
// under secure boot with GRUB beside it.
func isGRUB(h *Host, esp, dir string) bool {
	files, err := filepath.Glob(filepath.Join(h.path(esp), "EFI", dir, "*"))
	if err != nil {
		return false
	}
	for _, file := range files {
		name := strings.ToLower(filepath.Base(file))
		if strings.HasPrefix(name, "grub") && strings.HasSuffix(name, ".efi") {
			return true
		}
		if strings.HasPrefix(name, "boot") && strings.HasSuffix(name, ".efi") {
			if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte("GRUB")) {
				return true
			}
		}
	}
	return false
}

// debconf reads an answer from debconf's database, debconf-devel(7): debconf itself
// would wait for its lock.
func debconf(h *Host, question string) string {
	data, err := os.ReadFile(h.path("var/cache/debconf/config.dat"))
	if err != nil {
		return ""
	}
	for _, stanza := range strings.Split(string(data), "\n\n") {
		name, value := "", ""
		for _, line := range strings.Split(stanza, "\n") {
			if v, ok := strings.CutPrefix(line, "Name: "); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(line, "Value: "); ok {
				value = v
			}
		}
		if name == question {
			return value
		}
	}
	return ""
}
