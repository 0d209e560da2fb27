package vm_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

// TestLayouts prepares machines of each kind, tries a boot environment, goes back, and
// undoes the preparation.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, recipe := range []string{image.BIOSGRUB, image.UEFIGRUB, image.UEFISDBoot, image.BIOSBootExt4} {
		if recipe != image.BIOSGRUB && !atNight() {
			continue
		}
		t.Run(recipe, func(t *testing.T) { testLayout(t, layouts[recipe]) })
	}
}

func testLayout(t *testing.T, l layout) {
	t.Parallel()
	g := image.Installed(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	if result := g.Run(t, "apt-be create early && apt-be activate early"); result.Status != 10 {
		t.Errorf("before init, activate ends with %d", result.Status)
	}
	g.Shell(t, "apt-be destroy early")
	before := g.Shell(t, "cat /etc/fstab; ls -l /etc/grub.d 2>/dev/null; find /boot -maxdepth 1 | sort")

	contains(t, "init --dry-run", g.Shell(t, "apt-be init --dry-run"), "apt-be init will:")
	g.Shell(t, "apt-be init -y")
	contains(t, "a second init", g.Shell(t, "apt-be init -y"), "already")
	if s := wantRunning(t, g, l.name, l.name); s.Fallback.Level != l.level {
		t.Errorf("the level is %s, want %s", s.Fallback.Level, l.level)
	}
	g.Shell(t, "apt-be doctor")
	checkUpdateGRUB(t, g)
	checkFull(t, g, l)

	g.Shell(t, "apt-be create new && apt-be run new -- sh -c 'echo new >/etc/which'")
	g.Shell(t, "apt-be activate new")
	wantRunning(t, g, l.name, "new")
	wantBoot(t, g.Reboot(t), "/@be/new")
	contains(t, "/etc/which", g.Shell(t, "cat /etc/which"), "new")
	blessed(t, g)
	if s := wantRunning(t, g, "new", "new"); s.Running.State != "blessed" || s.Exit != 0 {
		t.Errorf("after the trial: %+v", s.Running)
	}
	if failed := g.Shell(t, "systemctl --failed --plain --no-legend"); failed != "" {
		t.Errorf("services failed:\n%s", failed)
	}
	checkUpdateGRUB(t, g)

	g.Shell(t, "apt-be rollback")
	wantRunning(t, g, "new", l.name)
	wantBoot(t, g.Reboot(t), l.root)
	wantRunning(t, g, l.name, l.name)

	g.Shell(t, "apt-be init --undo -y")
	if after := g.Shell(t, "cat /etc/fstab; ls -l /etc/grub.d 2>/dev/null; find /boot -maxdepth 1 | sort"); stable(after) != stable(before) {
		t.Errorf("after init --undo:\n%s\nbefore init:\n%s", after, before)
	}
	wantBoot(t, g.Reboot(t), l.root)
	g.Settle(t)
	if result := g.Run(t, "apt-be activate new"); result.Status != 10 {
		t.Errorf("after init --undo, activate ends with %d", result.Status)
	}
	if left := g.Shell(t, "apt-be list -H | cut -f1; findmnt -n /boot/grub; find /boot -name 'apt-be*' -not -path '*/initrd*'"); left != l.name+"\nnew\n" {
		t.Errorf("left of init: %s", left)
	}
	g.PowerOff(t)
}

// stable removes the parts of an output that change by themselves: the times of ls -l.
func stable(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 9 && strings.HasPrefix(line, "-") {
			line = fields[0] + " " + fields[8] + "\n"
		} else if strings.HasPrefix(line, "total ") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// checkUpdateGRUB checks that apt-be and update-grub write the same menu, on machines
// with GRUB.
func checkUpdateGRUB(t *testing.T, g *guest.Guest) {
	t.Helper()
	if g.Run(t, "command -v update-grub").Status != 0 {
		return
	}
	before := g.Shell(t, "cat /boot/grub/apt-be.cfg")
	g.Shell(t, "update-grub")
	g.Shell(t, "grub-script-check /boot/grub/grub.cfg && grub-script-check /boot/grub/apt-be.cfg")
	if after := g.Shell(t, "cat /boot/grub/apt-be.cfg"); after != before {
		t.Errorf("update-grub changed the menu:\n%s\nit was:\n%s", after, before)
	}
	if entries := g.Shell(t, "grep -c '^menuentry .*vmlinuz\\|^submenu\\|^menuentry .Debian' /boot/grub/grub.cfg || true"); entries != "0\n" {
		t.Errorf("grub.cfg has %s entries of its own", entries)
	}
}
