package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/efivar"
)

// globalVendor is the vendor UUID of the UEFI specification's own variables.
const globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// variables gives access to the EFI variables of the Boot Loader Interface.
func variables(h *Host) efivar.Vars {
	return efivar.Vars{Dir: filepath.Join(h.Sys, "firmware/efi/efivars")}
}

// textVariable reads a variable, "" if it does not exist.
func textVariable(h *Host, name string) string {
	value, err := variables(h).Get(name)
	if err != nil {
		return ""
	}
	return value
}

func secureBoot(h *Host) bool {
	data, err := os.ReadFile(filepath.Join(h.Sys, "firmware/efi/efivars/SecureBoot-"+globalVendor))
	return err == nil && len(data) == 5 && data[4] == 1 // after 4 bytes of attributes
}

// writableVariables reports whether EFI variables can be set.
func writableVariables(h *Host) bool {
	mount, err := h.Mounts()
	if err != nil {
		return false
	}
	dir := filepath.Join(h.Sys, "firmware/efi/efivars")
	for _, m := range mount {
		if m.Mountpoint == dir && m.FSType == "efivarfs" {
			return !hasOption(m.Options, "ro") && !hasOption(m.VFSOptions, "ro")
		}
	}
	return false
}

func hasOption(options, option string) bool {
	for _, o := range strings.Split(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// espDirs are the places of the EFI system partition, as in bootctl(1).
var espDirs = [...]string{"efi", "boot", "boot/efi"}

// findESP finds the mounted EFI system partition.
func findESP(h *Host) (*Mount, error) {
	for _, dir := range espDirs {
		// Access to the directory triggers an automount.
		if !h.has(dir + "/EFI") {
			continue
		}
		mount, err := h.describeMount(dir)
		if err != nil {
			return nil, err
		}
		if mount != nil && mount.Type == "vfat" {
			return mount, nil
		}
	}
	return nil, nil
}

// findLoader finds the active loader. systemd-boot and GRUB since 2.12 record that they
// have booted the machine; otherwise the files decide.
func findLoader(h *Host, m Layout) (string, error) {
	hasGRUB := h.has("boot/grub/grub.cfg") && h.hasCommand("grub-install")
	info := textVariable(h, "LoaderInfo")
	switch {
	case strings.HasPrefix(info, "systemd-boot"):
		return be.LoaderSystemdBoot, nil
	case strings.HasPrefix(info, "GRUB") && hasGRUB:
		return be.LoaderGRUB, nil
	case hasGRUB:
		return be.LoaderGRUB, nil
	case m.ESP != nil && h.has(m.ESP.Dir+"/loader/entries"):
		for _, name := range []string{"systemd-bootx64.efi", "systemd-bootaa64.efi", "systemd-bootia32.efi"} {
			if h.has(filepath.Join(m.ESP.Dir, "EFI/systemd", name)) {
				return be.LoaderSystemdBoot, nil
			}
		}
	}
	reason := "/boot/grub/grub.cfg is missing"
	switch {
	case h.has("boot/grub/grub.cfg"):
		reason = "/boot/grub/grub.cfg exists, but not grub-install"
	case info != "":
		reason = fmt.Sprintf("the machine was booted by %q", info)
	case m.Firmware == UEFI && m.ESP == nil:
		reason += ", and no EFI system partition is mounted at /efi, /boot or /boot/efi"
	}
	return "", fmt.Errorf("%w: %s", ErrNoLoader, reason)
}

// checkSystemdBoot returns the reason why a machine with systemd-boot cannot be set up.
func checkSystemdBoot(h *Host, m Layout) error {
	switch {
	case m.ESP == nil:
		return fmt.Errorf("%w: no EFI system partition is mounted at /efi, /boot or /boot/efi", ErrLayout)
	case m.Firmware != UEFI || !writableVariables(h):
		return fmt.Errorf("%w that can be written; systemd-boot reads its default from one", ErrNoVariables)
	case m.Boot != nil && m.Boot.Dir == m.ESP.Dir:
		return fmt.Errorf("%w: /boot is the EFI system partition itself, so it cannot belong to a boot environment; mount it at /efi or /boot/efi, and copy the kernels to a /boot in the root file system", ErrLayout)
	case m.Boot != nil:
		return fmt.Errorf("%w: /boot is a separate file system (%s), which apt-be supports only with GRUB", ErrLayout, m.Boot.Type)
	}
	if err := unix.Access(h.path(m.ESP.Dir), unix.W_OK); err != nil && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: the EFI system partition at %s cannot be written: %w", ErrLayout, m.ESP.Dir, err)
	}
	return nil
}
