package vm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

// TestMethods switches between boot environments by soft-reboot and kexec, to healthy
// and unhealthy ones.
func TestMethods(t *testing.T) {
	if !atNight() {
		return
	}
	t.Parallel()
	l := layouts[image.BIOSGRUBStable]
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	first := g.WaitBoot(t)
	wantBoot(t, first, l.root)
	g.Settle(t)

	g.Shell(t, "apt-be create soft")
	wantPicked(t, g, "soft", "soft-reboot")
	boot := goTo(t, g, "activate --now soft")
	wantBoot(t, boot, "/@be/soft")
	if boot.ID != first.ID {
		t.Errorf("another kernel was started: boot %s, and %s before", boot.ID, first.ID)
	}
	blessed(t, g)
	wantRunning(t, g, "soft", "soft")
	if said := g.Shell(t, "apt-be deactivate; ls -A /run/nextroot 2>/dev/null; cat /sys/kernel/kexec_loaded"); !strings.HasSuffix(said, "0\n") {
		t.Errorf("left of the soft-reboot: %q", said)
	}

	// With a new initrd, kexec is necessary.
	g.Shell(t, "apt-be create new && apt-be run new -- sh -c 'echo | tee -a /boot/initrd.img-*'")
	wantPicked(t, g, "new", "kexec")
	contains(t, "a dry run", g.Shell(t, "apt-be activate --soft --dry-run new 2>&1"), "Would go to new by soft-reboot", "the initrd differs")
	wantRunning(t, g, "soft", "soft")
	boot = goTo(t, g, "activate --kexec new")
	wantBoot(t, boot, "/@be/new")
	if boot.ID == first.ID {
		t.Error("no kernel was started")
	}
	if line := g.Shell(t, "cat /proc/cmdline"); strings.Contains(line, "BOOT_IMAGE=") {
		t.Errorf("GRUB has started the kernel: %s", line)
	}
	blessed(t, g)
	wantRunning(t, g, "new", "new")

	health, panics := called("health check"), called("kernel panic")
	t.Run("bad by soft-reboot", func(t *testing.T) {
		g.Shell(t, "apt-be create bad && "+inBad(health.script))
		wantBoot(t, goTo(t, g, "activate --soft bad"), "/@be/bad")
		wantBack(t, g, g.WaitBoot(t), health)
	})
	t.Run("bad by kexec", func(t *testing.T) {
		g.Shell(t, "apt-be create bad")
		g.Shell(t, panics.early)
		wantBack(t, g, goTo(t, g, "activate --kexec bad"), panics)
	})
	g.PowerOff(t)
}

// wantBack checks that the machine fell back from bad to new, and reports why.
func wantBack(t *testing.T, g *guest.Guest, boot guest.Boot, s sabotage) {
	t.Helper()
	wantBoot(t, boot, "/@be/new")
	g.Settle(t)
	wantFellBack(t, g, "new", s.kind, s.reason)
	g.Shell(t, "apt-be status --acknowledge && apt-be destroy bad")
}

// goTo switches the machine to an environment immediately.
func goTo(t *testing.T, g *guest.Guest, command string) guest.Boot {
	t.Helper()
	g.Begin(t, "apt-be "+command)
	return g.WaitBoot(t)
}

// wantPicked checks the method that apt-be plan picks.
func wantPicked(t *testing.T, g *guest.Guest, name, method string) {
	t.Helper()
	var plan struct{ Picked string }
	if err := json.Unmarshal([]byte(g.Shell(t, "apt-be plan --json "+name)), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Picked != method {
		t.Errorf("to go to %s, %s is picked, want %s", name, plan.Picked, method)
	}
}
