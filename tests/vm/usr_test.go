package vm_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// usrOf prints the subvolume that is mounted at /usr.
const usrOf = "findmnt -n -o FSROOT /usr"

// fingerprintOf prints the contents of the subvolume @usr: names, types, owners, modes,
// times, links, attributes and contents.
const fingerprintOf = `set -e
mkdir -p /run/top && mount -o ro,subvolid=5 "$(findmnt -n -o SOURCE / | sed 's/\[.*//')" /run/top
cd /run/top/@usr
{ find . -printf '%p %y %u %g %m %s %T@ %l\n' | LC_ALL=C sort
  find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  getfattr -R -h -d -m - . 2>/dev/null || true; } | sha256sum
cd / && umount /run/top`

// TestUsrSubvolume upgrades a machine with a separate subvolume for /usr. The upgrade
// changes a snapshot of it, which the new environment mounts. The running system's /usr
// is unchanged, and rollback returns to it.
func TestUsrSubvolume(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	l := layouts[image.BIOSGRUBUsr]
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	if usr := g.Shell(t, usrOf); usr != "/@usr\n" {
		t.Fatalf("/usr is %s", usr)
	}
	file := func(version string) string {
		return source.Package(t, "probe", version, map[string]string{"/usr/share/probe": version + "\n"})
	}
	archive := source.New(t, file("1.0"))
	archive.Use(t, g)
	g.Shell(t, "DEBIAN_FRONTEND=noninteractive apt-get -q -y install probe")
	// A new kernel has files in /usr/lib/modules and in /boot.
	archive.Add(t, append(source.NewKernel(t, source.Oldstable), file("2.0"))...)
	g.Shell(t, "apt-get -q update")
	before := g.Shell(t, fingerprintOf)
	g.Shell(t, "DEBIAN_FRONTEND=noninteractive nohup apt-get -y dist-upgrade >/root/upgrade.log 2>&1 </dev/null; echo $? >/root/upgrade.status")
	log := g.Shell(t, "cat /root/upgrade.log; test \"$(cat /root/upgrade.status)\" = 0")
	contains(t, "apt-get dist-upgrade", log, "The next boot tries ")
	s := statusOf(t, g)
	if len(s.Pending) != 1 || s.Next == nil || s.Next.Name != s.Pending[0].Name {
		t.Fatalf("after the upgrade: %+v", s)
	}
	name := s.Next.Name
	wantUsr := func(when, usr, probe string) {
		t.Helper()
		if got := g.Shell(t, usrOf+"; cat /usr/share/probe"); got != usr+"\n"+probe+"\n" {
			t.Errorf("%s, /usr and its file are %q, want %s and %s", when, strings.Fields(got), usr, probe)
		}
		if after := g.Shell(t, fingerprintOf); after != before {
			t.Errorf("%s, @usr is another one", when)
		}
	}
	wantUsr("after the upgrade", "/@usr", "1.0")

	wantBoot(t, g.Reboot(t), "/@be/"+name)
	blessed(t, g)
	wantRunning(t, g, name, name)
	wantUsr("in the new one", "/@be/"+name+"/usr", "2.0")
	contains(t, "dpkg", g.Shell(t, "dpkg-query -W -f '${Version}' probe; dpkg --verify; dpkg --audit"), "2.0")

	g.Shell(t, "apt-be rollback")
	wantBoot(t, g.Reboot(t), l.root)
	wantRunning(t, g, l.name, l.name)
	wantUsr("after rollback", "/@usr", "1.0")
	g.PowerOff(t)
}
