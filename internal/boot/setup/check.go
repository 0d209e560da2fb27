package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/initrd"
	"github.com/apt-be/apt-be/internal/inroot"
)

// Grade is the severity of a finding.
type Grade string

// The grades.
const (
	OK      Grade = "ok"
	Warning Grade = "warning"
	Problem Grade = "problem"
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"` // the name of the check
	Grade Grade  `json:"grade"`
	Text  string `json:"text"`           // without a full stop
	Hint  string `json:"hint,omitempty"` // the remedy
}

// Summary describes the kind of machine.
func (m Layout) Summary() string {
	var parts []string
	firmware := "BIOS"
	if m.Firmware == UEFI {
		firmware = "UEFI"
		if m.SecureBoot {
			firmware += " with secure boot"
		}
	}
	parts = append(parts, firmware)
	switch m.Loader {
	case be.LoaderGRUB:
		loader := "GRUB"
		if m.GRUB != nil {
			loader += " (" + m.GRUB.Target + ")"
		}
		parts = append(parts, loader)
	case be.LoaderSystemdBoot:
		parts = append(parts, "systemd-boot")
	}
	if m.Subvolume != "" {
		parts = append(parts, "root in "+m.Subvolume)
	}
	if m.Boot != nil {
		parts = append(parts, "separate /boot ("+m.Boot.Type+")")
	}
	for _, device := range m.Devices {
		parts = append(parts, device.Kind+" "+device.Name)
	}
	return strings.Join(parts, ", ")
}

// Check checks everything that boots and trials depend on, except for the loader's own
// state. m is the current machine.
func (i *Installer) Check(ctx context.Context, m Layout) ([]Finding, error) {
	envs, err := i.Registry.List()
	if err != nil {
		return nil, err
	}
	found := []Finding{i.checkWatchdog(), i.checkUnits(), i.checkJournal()}
	if m.GRUB != nil {
		found = append(found, i.checkModules(*m.GRUB), i.checkGenerators(*m.GRUB))
	}
	for _, e := range envs {
		if e.Running || e.Next {
			found = append(found, i.checkInitrds(ctx, e)...)
		}
		found = append(found, i.checkFstab(m, e))
	}
	return found, nil
}

// checkWatchdog looks for the module that resets a hanging machine.
func (i *Installer) checkWatchdog() Finding {
	f := Finding{Check: "watchdog", Grade: OK, Text: "the kernel has softdog, which resets a machine that hangs in a trial"}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		release := unix.ByteSliceToString(name.Release[:])
		for _, list := range []string{"modules.dep", "modules.builtin"} {
			data, err := os.ReadFile(i.Host.path("lib/modules/" + release + "/" + list))
			if err == nil && bytes.Contains(data, []byte("/softdog.ko")) {
				return f
			}
		}
	}
	f.Grade, f.Text = Warning, "the running kernel has no softdog: if a system hangs before its services start, nothing resets the machine"
	f.Hint = "Debian's linux-image has softdog and btrfs in the same package"
	return f
}

// units are the units that judge a trial, and one that runs before it.
var units = [...]string{
	"apt-be-boot.service", "apt-be-health.service", "apt-be-health.target",
	"apt-be-bless.service", "apt-be-fallback.service", "apt-be-emergency.service",
	syncUnit,
}

const syncUnit = "apt-be-sync.service"

// without describes the effect of a missing unit.
func without(unit string) string {
	if unit == syncUnit {
		return "no reboot boots an upgrade, because only this unit carries the changes and tells the boot loader"
	}
	return "the results of trials are not determined"
}

// masked reports whether a unit is masked: by a link to /dev/null or an empty file, see
// systemd.unit(5). A file in /etc hides one in /run.
func (h *Host) masked(unit string) bool {
	for _, dir := range []string{"etc/systemd/system/", "run/systemd/system/"} {
		if info, err := os.Stat(h.path(dir + unit)); err == nil {
			return info.Size() == 0
		}
	}
	return false
}

func (i *Installer) checkUnits() Finding {
	for _, unit := range units {
		switch {
		case i.Host.masked(unit):
			return Finding{"units", Problem, unit + " is masked: " + without(unit), "systemctl unmask " + unit + ", with --runtime if it is in /run"}
		case !i.Host.has("usr/lib/systemd/system/"+unit) && !i.Host.has("lib/systemd/system/"+unit):
			return Finding{"units", Problem, unit + " is missing: " + without(unit), "install the package apt-be again"}
		}
	}
	return Finding{Check: "units", Grade: OK, Text: "the units of a trial exist"}
}

func (i *Installer) checkJournal() Finding {
	if i.Host.has("var/log/journal") {
		return Finding{Check: "journal", Grade: OK, Text: "the journal is persistent, so the journal of a failed boot can be read"}
	}
	return Finding{"journal", Warning, "the journal is not persistent: a failed boot leaves no journal", "mkdir /var/log/journal"}
}

// checkModules compares the installed GRUB with its package. If they differ,
// grub-install must run.
func (i *Installer) checkModules(g GRUB) Finding {
	f := Finding{Check: "grub", Grade: OK, Text: "the installed GRUB is the version of its package"}
	wanted, err := os.ReadFile(i.Host.path("usr/lib/grub/" + g.Target + "/normal.mod"))
	if err != nil {
		return Finding{"grub", Warning, fmt.Sprintf("the modules of GRUB's package are missing: %v", err), "install GRUB's package again"}
	}
	there, err := os.ReadFile(i.Host.path("boot/grub/" + g.Target + "/normal.mod"))
	switch {
	case err != nil:
		return Finding{"grub", Problem, fmt.Sprintf("GRUB's modules are missing: %v", err), "is /boot/grub mounted? Then run grub-install"}
	case !bytes.Equal(wanted, there):
		f.Grade, f.Text, f.Hint = Warning, "the installed GRUB is not the version of its package", "run grub-install as dpkg-reconfigure does for its package"
	}
	return f
}

func (i *Installer) checkGenerators(g GRUB) Finding {
	if _, err := i.Registry.Boot(); err == nil {
		for _, path := range g.Generators {
			if info, err := os.Stat(i.Host.path(path)); err == nil && info.Mode()&0o111 != 0 {
				return Finding{"update-grub", Warning, path + " is enabled again: update-grub adds the running system's kernels to the menu a second time",
					"dpkg-statoverride --update --add root root 0644 " + path}
			}
		}
	}
	return Finding{Check: "update-grub", Grade: OK, Text: "update-grub keeps the menu of boot environments"}
}

func (i *Installer) checkInitrds(ctx context.Context, e be.Env) []Finding {
	hint := "update-initramfs -u -k %s"
	if !i.Host.hasCommand("update-initramfs") {
		hint = "apt-be's scripts are for initramfs-tools, but another program makes the initrds of %s"
	}
	var found []Finding
	for _, kernel := range e.Record.Kernels {
		if kernel.Image == "" || kernel.Initrd == "" {
			continue
		}
		ready, err := i.InitrdReady(ctx, e, kernel)
		switch {
		case err != nil:
			found = append(found, Finding{"initrd", Warning, err.Error(), ""})
		case !ready:
			found = append(found, Finding{"initrd", Warning, fmt.Sprintf("the initrd of kernel %s in %s has no scripts of apt-be, so it cannot record the progress of a trial", kernel.Version, e.Name),
				fmt.Sprintf(hint, kernel.Version)})
		default:
			found = append(found, Finding{Check: "initrd", Grade: OK, Text: fmt.Sprintf("the initrd of kernel %s in %s supports trials", kernel.Version, e.Name)})
		}
		break // other kernels are not booted
	}
	return found
}

// InitrdReady reports whether an initrd of an environment has the scripts of a trial.
// Links stay in the environment.
func (i *Installer) InitrdReady(ctx context.Context, e be.Env, kernel be.Kernel) (bool, error) {
	return initrd.EndsTrial(ctx, i.Host.Run, i.path(e.Subvolume.Path), kernel.Initrd)
}

func (i *Installer) checkFstab(m Layout, e be.Env) Finding {
	if _, err := i.Registry.Boot(); err != nil {
		return Finding{Check: "fstab", Grade: OK, Text: "the fstab of " + e.Name + " is unchanged"}
	}
	text, err := inroot.ReadFile(i.path(e.Subvolume.Path), "etc/fstab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Finding{"fstab", Warning, err.Error(), ""}
	}
	if fstabOf(m).Has(string(text)) {
		return Finding{Check: "fstab", Grade: OK, Text: "the fstab of " + e.Name + " mounts the common subvolumes"}
	}
	return Finding{"fstab", Warning, fmt.Sprintf("the fstab of %s does not mount %s", e.Name, strings.Join(mountPoints(m), " and ")), "apt-be init adds the lines"}
}
