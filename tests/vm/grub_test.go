package vm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// name is the boot environment that the test makes.
const name = "test1"

// TestGRUB activates a boot environment on a machine with GRUB, boots it from
// the menu by hand, and comes back by doing nothing.
func TestGRUB(t *testing.T) {
	if !*nightly {
		return
	}
	g := start(t)
	g.Login(t)
	checkRunning(t, g, "rootfs", "@rootfs")
	g.Shell(t, "echo rootfs >/etc/which-be")
	g.Shell(t, "apt-be create "+name)
	g.Shell(t, "apt-be run "+name+" -- sh -c 'echo "+name+" >/etc/which-be'")
	checkSandbox(t, g)
	if said := g.Shell(t, "apt-be activate "+name); !strings.Contains(said, name+" is in the menu of GRUB") {
		t.Errorf("activate said %q", said)
	}
	menu := g.Shell(t, "cat /boot/grub/custom.cfg")
	if strings.Count(menu, "menuentry ") != 1 || !strings.Contains(menu, "("+name+")") {
		t.Errorf("custom.cfg has not one entry, of %s:\n%s", name, menu)
	}
	g.Shell(t, "grub-script-check /boot/grub/custom.cfg")

	g.Reboot(t)
	past := g.Choose(t, "("+name+")")
	if len(past) != 2 || past[0] != "Debian GNU/Linux" {
		t.Errorf("before the entry of %s, the menu has %q", name, past)
	}
	g.Login(t)
	checkRunning(t, g, name, "@be/"+name)
	checkWhich(t, g, name)
	if failed := g.Shell(t, "systemctl --failed --plain --no-legend"); failed != "" {
		t.Errorf("services failed:\n%s", failed)
	}
	// Nothing is chosen: what boots is what booted before.
	g.Reboot(t)
	g.Login(t)
	checkRunning(t, g, "rootfs", "@rootfs")
	checkWhich(t, g, "rootfs")
	if flags := flagsOf(t, g, name); !strings.Contains(flags, "T") {
		t.Errorf("before deactivate, the flags of %s are %q", name, flags)
	}
	g.Shell(t, "cp /boot/grub/custom.cfg /root/stale.cfg")
	checkDeactivate(t, g)
	// Now the menu has an entry that no record knows of.
	g.Shell(t, "mv /root/stale.cfg /boot/grub/custom.cfg")
	checkDeactivate(t, g)
	g.Shell(t, "apt-be destroy "+name)
	g.PowerOff(t)
}

// checkDeactivate checks that an environment leaves the menu.
func checkDeactivate(t *testing.T, g *guest.Guest) {
	t.Helper()
	g.Shell(t, "apt-be deactivate "+name)
	g.Shell(t, "test ! -e /boot/grub/custom.cfg")
	if flags := flagsOf(t, g, name); strings.ContainsAny(flags, "RT") {
		t.Errorf("after deactivate, the flags of %s are %q", name, flags)
	}
}

// checkRunning checks which environment the machine runs, by all that tells.
func checkRunning(t *testing.T, g *guest.Guest, be, subvolume string) {
	t.Helper()
	if got := g.Shell(t, "findmnt -no FSROOT /"); got != "/"+subvolume+"\n" {
		t.Errorf("the root is %q, want /%s", got, subvolume)
	}
	parameters := strings.Fields(g.Shell(t, "cat /proc/cmdline"))
	if !slices.Contains(parameters, "rootflags=subvol="+subvolume) {
		t.Errorf("the kernel's command line %q has no rootflags for %s", parameters, subvolume)
	}
	if flags := flagsOf(t, g, be); !strings.Contains(flags, "N") {
		t.Errorf("apt-be list gives %s the flags %q: it is the running one", be, flags)
	}
}

// flagsOf returns what apt-be list shows beside the name of an environment.
func flagsOf(t *testing.T, g *guest.Guest, be string) string {
	t.Helper()
	list := g.Shell(t, "apt-be list -H")
	for line := range strings.Lines(list) {
		if fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); fields[0] == be && len(fields) > 1 {
			return fields[1]
		}
	}
	t.Errorf("%s is not in apt-be list:\n%s", be, list)
	return ""
}

// checkWhich checks that the files are those of the environment.
func checkWhich(t *testing.T, g *guest.Guest, want string) {
	t.Helper()
	if got := g.Shell(t, "cat /etc/which-be"); got != want+"\n" {
		t.Errorf("/etc/which-be says %q, want %q", got, want)
	}
}

// checkSandbox checks that what runs in an environment leaves the services of a
// machine with a real systemd alone, and that the journal hears it.
func checkSandbox(t *testing.T, g *guest.Guest) {
	t.Helper()
	const pid = "systemctl show -p MainPID,ActiveState cron"
	before := g.Shell(t, pid)
	g.Run(t, "apt-be run "+name+` -- sh -c '
		systemctl is-system-running
		systemctl restart cron
		invoke-rc.d cron restart
		deb-systemd-invoke restart cron.service
		logger -t probe hello'`)
	if after := g.Shell(t, pid); after != before {
		t.Errorf("cron was %q and is %q", before, after)
	}
	if heard := g.Shell(t, "journalctl --no-pager -o cat -t probe"); heard != "hello\n" {
		t.Errorf("the journal has %q", heard)
	}
}
