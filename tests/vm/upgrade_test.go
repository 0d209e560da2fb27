package vm_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// TestUpgrade upgrades a machine with a plain apt-get dist-upgrade that installs a
// kernel, reboots it with a plain reboot, and rolls back.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	files := source.NewKernel(t, source.Oldstable)
	for _, recipe := range []string{image.BIOSGRUB, image.BIOSBootExt4} {
		t.Run(recipe, func(t *testing.T) { testUpgrade(t, layouts[recipe], files) })
	}
}

func testUpgrade(t *testing.T, l layout, files []string) {
	t.Parallel()
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	source.New(t, files...).Use(t, g)
	before := g.Shell(t, "uname -r; ls /boot")
	// It takes longer than a command may take, because an initrd is built.
	g.Shell(t, "DEBIAN_FRONTEND=noninteractive nohup apt-get -y dist-upgrade >/root/upgrade.log 2>&1 </dev/null; echo $? >/root/upgrade.status")
	log := g.Shell(t, "cat /root/upgrade.log; test \"$(cat /root/upgrade.status)\" = 0")
	contains(t, "apt-get dist-upgrade", log, "The next boot tries ")
	if after := g.Shell(t, "uname -r; ls /boot"); after != before {
		t.Errorf("the running system has %s, and had %s", after, before)
	}
	s := statusOf(t, g)
	if len(s.Pending) != 1 || s.Next == nil || s.Next.Name != s.Pending[0].Name {
		t.Fatalf("after the upgrade: %+v", s)
	}
	name, kernel := s.Next.Name, s.Next.Kernels[0].Version

	wantBoot(t, g.Reboot(t), "/@be/"+name)
	if running := g.Shell(t, "uname -r"); running != kernel+"\n" || strings.HasPrefix(before, running) {
		t.Errorf("the kernel is %s, want %s; it was %s", running, kernel, before)
	}
	blessed(t, g)
	wantRunning(t, g, name, name)
	g.Shell(t, "apt-be rollback")
	wantBoot(t, g.Reboot(t), l.root)
	if running := g.Shell(t, "uname -r"); !strings.HasPrefix(before, running) {
		t.Errorf("after rollback the kernel is %s; it was %s", running, before)
	}
	wantRunning(t, g, l.name, l.name)
	g.PowerOff(t)
}
