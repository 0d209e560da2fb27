package vm_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// mailSystem is a small mail system that delivers to the machine's mailboxes.
const mailSystem = "dma"

// unattendedConf makes the services of the timers do all their tasks, every day, and
// mail root about them.
const unattendedConf = `APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Download-Upgradeable-Packages "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Origins-Pattern { "site=*"; };
Unattended-Upgrade::Mail "root";
Unattended-Upgrade::OnlyOnACPower "false";
Unattended-Upgrade::Skip-Updates-On-Metered-Connections "false";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "04:00";
`

// TestNights runs apt's timers on a machine for three nights. The second night has new
// packages. Then the machine reboots by itself into the upgrade.
func TestNights(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	l := layouts[image.BIOSGRUB]
	files := source.Download(t, source.Oldstable, "unattended-upgrades", mailSystem)
	const install = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install unattended-upgrades " + mailSystem
	unattended := image.Build(t, l.recipe).Layer(t, "unattended", install+strings.Join(files, "\n"), func(g *guest.Guest) {
		source.New(t, files...).Use(t, g)
		g.Shell(t, install)
	})
	g := initialized(t, unattended.Install(t)).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	// The machine's own timers would run the same services.
	g.Shell(t, "systemctl stop apt-daily.timer apt-daily-upgrade.timer; systemctl stop systemd-timesyncd.service 2>/dev/null || true")
	g.Shell(t, "cat >/etc/apt/apt.conf.d/60nights <<'END'\n"+unattendedConf+"END")
	archive := source.New(t, files...)
	archive.Use(t, g)

	night(t, g, 1)
	if found := statusOf(t, g).Pending; len(found) > 0 {
		t.Fatalf("without news there is %+v", found)
	}
	var news []string
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), mailSystem+"_") {
			news = append(news, file)
		}
	}
	archive.Add(t, source.Next(t, news)...)
	night(t, g, 2)
	log := g.Shell(t, "cat /var/log/unattended-upgrades/unattended-upgrades.log")
	s := statusOf(t, g)
	if len(s.Pending) != 1 || s.Next == nil || s.Next.Name != s.Pending[0].Name {
		t.Fatalf("after the second night: %+v\n%s", s, log)
	}
	name := s.Next.Name
	contains(t, "the log", log, "INFO apt-be: Boot environment "+name+" is ready", "INFO apt-be: The machine reboots into "+name)
	contains(t, "root's mail", g.Shell(t, "for i in $(seq 60); do [ ! -s /var/mail/root ] || break; sleep 1; done; cat /var/mail/root"),
		"X-Apt-Be: "+name+"; ready", "Packages that were upgraded", "Boot environment "+name+" is ready", "The running system is unchanged")
	contains(t, "the flag", g.Shell(t, "cat /run/reboot-required"), "System restart required")
	if out := g.Shell(t, "dpkg-query -W -f '${Version}' "+mailSystem); strings.HasSuffix(out, source.NextSuffix) {
		t.Errorf("the running system has %s %s", mailSystem, out)
	}

	// The administrator cancels the reboot once, but not the night after.
	g.Shell(t, "shutdown -c")
	night(t, g, 3)
	contains(t, "the log", g.Shell(t, "cat /var/log/unattended-upgrades/unattended-upgrades.log"), "INFO apt-be: Nothing is newer than in "+name)
	contains(t, "the shutdown that is due", g.Shell(t, "cat /run/systemd/shutdown/scheduled"), "MODE=reboot")

	// It is almost four o'clock.
	g.Begin(t, "date -s '03:59:55'")
	wantBoot(t, g.WaitBoot(t), "/@be/"+name)
	blessed(t, g)
	wantRunning(t, g, name, name)
	if out := g.Shell(t, "dpkg-query -W -f '${Version}' "+mailSystem); !strings.HasSuffix(out, source.NextSuffix) {
		t.Errorf("the new system has %s %s", mailSystem, out)
	}
	g.Shell(t, "test ! -e /run/reboot-required; test ! -e /usr/sbin/sendmail.apt-be")
	contains(t, "root's mail in the new system", g.Shell(t, "cat /var/mail/root"), "X-Apt-Be: "+name+"; ready")
	if log := g.Shell(t, "cat /var/log/unattended-upgrades/unattended-upgrades.log"); strings.Count(log, "Boot environment "+name+" is ready") != 1 || strings.Count(log, "Packages that will be upgraded") != 1 {
		t.Errorf("the log in the new system:\n%s", log)
	}
	g.PowerOff(t)
}

// night sets the clock of a machine to the next night, and runs the services that apt's
// timers would run then. That takes longer than a command may take.
func night(t *testing.T, g *guest.Guest, number int) {
	t.Helper()
	t.Logf("night %d", number)
	g.Shell(t, `date -s "$(date -d tomorrow +%F) 02:00:00"; hwclock -w 2>/dev/null || true
for i in $(seq 3); do systemctl is-active apt-daily.service apt-daily-upgrade.service | grep -q '^activ' || break; sleep 1; done
systemctl start apt-daily.service`)
	g.Shell(t, "systemctl start apt-daily-upgrade.service; systemctl show -P Result apt-daily-upgrade.service | grep -qx success")
}
