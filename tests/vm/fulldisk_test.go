package vm_test

import (
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// fill leaves 64 KiB of a machine's btrfs free. It only allocates the space and writes
// no data, so it is fast. unfill frees the space.
const (
	fill = `n=0; fallocate -l 64K /room
for size in 1G 128M 16M 1M 128K 16K 4K; do
	while fallocate -l $size /filled.$n 2>/dev/null; do n=$((n + 1)); done
	rm -f /filled.$n
done
sync -f /; rm /room; sync -f /; btrfs filesystem df /; df -B1 /`
	unfill = "rm /filled.* && sync -f /"
)

// TestFullDisk shuts a machine with a pending upgrade down while its disk is full. The
// changes since the upgrade cannot be carried, so the old system boots with all
// changes, and reports why. Once there is space, the next reboot boots the new system,
// which has the changes, too.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	for _, recipe := range []string{image.BIOSGRUB, image.UEFISDBoot} {
		t.Run(recipe, func(t *testing.T) { testFullDisk(t, layouts[recipe]) })
	}
}

func testFullDisk(t *testing.T, l layout) {
	t.Parallel()
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	name := upgradeProbe(t, g)
	g.Shell(t, "apt-be create spare && useradd -m alice && echo alice:fresh | chpasswd && echo of the old >/srv/data")
	// The merged file of both systems needs space for all of the text.
	g.Shell(t, "head -c 1000000 /dev/urandom | base64 >>/var/log/dpkg.log")
	t.Logf("filled:\n%s", g.Shell(t, fill))

	wantBoot(t, g.Reboot(t), l.root)
	g.Settle(t)
	g.Shell(t, haveHappened)
	wantRunning(t, g, l.name, name) // it is still pending
	said := g.Shell(t, "apt-be status; cat /run/motd.d/apt-be")
	t.Logf("in the old one:\n%s", said)
	contains(t, "status and motd", said, "it was not booted: ", name+" was not booted: ", "the file system is too full", "the next reboot after freeing space")
	g.Shell(t, "test \"$(cat /usr/share/probe)\" = 1.0 && apt-be destroy spare")

	g.Shell(t, unfill)
	wantBoot(t, g.Reboot(t), "/@be/"+name)
	blessed(t, g)
	wantRunning(t, g, name, name)
	g.Shell(t, haveHappened+"; test \"$(cat /usr/share/probe)\" = 2.0")
	g.PowerOff(t)
}

// haveHappened fails unless the changes since the upgrade exist.
const haveHappened = `set -e; grep -qx 'of the old' /srv/data
perl -e 'my $hash = (getpwnam "alice")[1]; crypt("fresh", $hash) eq $hash or die "the password of alice is another one\n"'`

// upgradeProbe upgrades a package of a machine with a plain apt-get dist-upgrade, and
// returns the name of the new environment.
func upgradeProbe(t *testing.T, g *guest.Guest) string {
	t.Helper()
	file := func(version string) string {
		return source.Package(t, "probe", version, map[string]string{"/usr/share/probe": version + "\n"})
	}
	archive := source.New(t, file("1.0"))
	archive.Use(t, g)
	g.Shell(t, "DEBIAN_FRONTEND=noninteractive apt-get -q -y install probe")
	archive.Add(t, file("2.0"))
	said := g.Shell(t, "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y dist-upgrade")
	contains(t, "apt-get dist-upgrade", said, "The next boot tries ")
	s := statusOf(t, g)
	if len(s.Pending) != 1 || s.Next == nil || s.Next.Name != s.Pending[0].Name {
		t.Fatalf("after the upgrade: %+v", s)
	}
	return s.Next.Name
}
