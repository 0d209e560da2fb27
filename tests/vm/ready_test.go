package vm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// TestReadyIsOnDisk cuts the power at the moment when an upgrade is ready; before, its
// writes were not synced. The machine boots the old environment, and then the new one,
// in which every file equals its package's file. A file that was written just before
// the cut is lost, which shows that the power really was cut.
func TestReadyIsOnDisk(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	l := layouts[image.BIOSGRUB]
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	source.New(t, source.NewKernel(t, source.Oldstable)...).Use(t, g)
	before := g.Shell(t, "dpkg --verify || true")
	const upgrade = `DEBIAN_FRONTEND=noninteractive nohup apt-get -y dist-upgrade >/root/upgrade.log 2>&1 </dev/null
head -c 1000000 /dev/urandom >/root/unsynced
echo b >/proc/sysrq-trigger`
	if _, err := g.Try(t, upgrade); !errors.Is(err, guest.ErrRebooted) {
		t.Fatalf("the power was not cut: %v", err)
	}
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	if left := g.Shell(t, "stat -c %s /root/unsynced 2>/dev/null || echo none"); left == "1000000\n" {
		t.Error("what was not synced outlived the cut, so this test shows nothing")
	}
	boot := g.Reboot(t)
	if !strings.HasPrefix(boot.Root, "/@be/") {
		t.Fatalf("the machine runs %s:\n%s", boot.Root, g.Shell(t, "cat /root/upgrade.log"))
	}
	blessed(t, g)
	if after := g.Shell(t, "dpkg --verify || true"); after != before {
		t.Errorf("files are not what their packages have:\n%s\nwant:\n%s", after, before)
	}
	if said := g.Shell(t, "dpkg --audit; btrfs scrub start -B / >/root/scrub; grep -c 'no errors found' /root/scrub"); said != "1\n" {
		t.Errorf("the file system or the packages are damaged:\n%s%s", said, g.Shell(t, "cat /root/scrub"))
	}
	g.PowerOff(t)
}
