package btrfs_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// client is a program that changes packages by libapt and is no command that
// apt-be stands in for. Each upgrades everything that it can.
type client struct {
	name    string
	command machine.Command
	// stays: when it is refused it shows a window that waits for somebody.
	stays bool
	// told: the reason of a refusal is in what it prints.
	told bool
}

// upgradeInPython is what python-apt's own documentation shows. Its hooks run
// twice, because its Cache reads the configuration that apt_pkg has read.
const upgradeInPython = `
import apt
cache = apt.Cache(rootdir="/")
cache.upgrade(dist_upgrade=True)
cache.commit()
`

func clients() []client {
	return []client{
		{name: "PackageKit", told: true, command: machine.Command{Args: []string{"pkcon", "-y", "-p", "update"}}},
		{name: "Synaptic", stays: true, command: machine.Command{Args: []string{"xvfb-run", "-a", "synaptic", "--non-interactive", "--hide-main-window",
			"--dist-upgrade-mode", "-o", "Synaptic::closeZvt=true", "-o", "Synaptic::AskRelated=false"}}},
		{name: "python-apt", told: true, command: machine.Command{Args: []string{"python3", "-c", upgradeInPython}}},
	}
}

// TestDesktop has programs other than apt's commands change the running system.
func TestDesktop(t *testing.T) {
	for _, release := range []string{"oldstable", "stable"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, release+"-desktop")
			for _, c := range clients() {
				t.Run(c.name, func(t *testing.T) {
					t.Run("snapshot", func(t *testing.T) { testGuardSnapshot(t, l, c) })
					t.Run("veto", func(t *testing.T) { testGuardVeto(t, l, c) })
					t.Run("off", func(t *testing.T) { testGuardOff(t, l, c) })
				})
			}
			t.Run("transactions", func(t *testing.T) { testTransactions(t, l) })
			t.Run("pending", func(t *testing.T) { testPackageKitPending(t, l) })
			t.Run("no snapshot", func(t *testing.T) { testNoSnapshot(t, l) })
			t.Run("offline update", func(t *testing.T) { testOfflineUpdate(t, l) })
		})
	}
}

// guardLog is where there is once more what the guard of a desktop's machine
// has said: clients differ in what they show.
const guardLog = "/run/guard.log"

// desktop starts a machine with a message bus, on which PackageKit's daemon is
// started when it is asked for, as on a Debian desktop, and with a policy.
func (l lab) desktop(t *testing.T, policy string) *machine.Machine {
	t.Helper()
	m := l.system(t, with, running, packages.Good)
	// What an upgrade replaces by another package is not what PackageKit does.
	m.Shell(t, "dpkg -P bt-app "+packages.Auto)
	m.WriteFile(t, "/etc/apt/apt.conf.d/99local", `Apt-Be::Guard "`+policy+`";
// A test's archive is below a directory of root's.
APT::Sandbox::User "root";
`)
	m.Shell(t, `mv /usr/lib/apt-be/guard /usr/lib/apt-be/guard.real
cat >/usr/lib/apt-be/guard <<'END'
#!/bin/sh
exec sh -c '/usr/lib/apt-be/guard.real 2>/run/guard.out; status=$?
cat /run/guard.out >>`+guardLog+`; cat /run/guard.out >&2; exit $status'
END
chmod +x /usr/lib/apt-be/guard
mkdir -p /run/dbus; dbus-uuidgen --ensure; dbus-daemon --system --fork --nopidfile`)
	return m
}

// upgraded are the packages that a client upgrades.
func upgraded() []string {
	return slices.DeleteFunc(packages.Manual(), func(name string) bool { return name == "bt-app" || name == "bt-dconf" })
}

// version returns that of a package in the machine.
func version(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	return m.Shell(t, "dpkg-query -Wf '${Version}' "+name)
}

// checkAllNewer finds the newer versions in the running system.
func checkAllNewer(t *testing.T, m *machine.Machine, result machine.Result) {
	t.Helper()
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	for _, name := range upgraded() {
		if got := version(t, m, name); got != "2.0" {
			t.Errorf("%s is at %s:\n%s", name, got, result.Output)
		}
	}
	if audit := m.Shell(t, "dpkg --audit"); audit != "" {
		t.Errorf("dpkg --audit: %s", audit)
	}
}

// safetyName is what safety snapshots are called.
var safetyName = regexp.MustCompile(`^before-\d{4}-\d\d-\d\d(\.\d+)?$`)

// voice is how every line of apt-be's looks, but for errors, which are not
// broken.
var voice = regexp.MustCompile(`^(E: )?apt-be: .{0,72}$|^(E: )?apt-be: error: cannot `)

// guardSaid returns what the guard wrote, in one line, and finds that it is in
// apt-be's voice.
func guardSaid(t *testing.T, m *machine.Machine) string {
	t.Helper()
	said := strings.TrimSuffix(m.Shell(t, "cat "+guardLog+" 2>/dev/null || true"), "\n")
	if said == "" {
		return ""
	}
	for _, line := range strings.Split(said, "\n") {
		if !voice.MatchString(line) {
			t.Errorf("the guard says %q", line)
		}
	}
	return regexp.MustCompile(`\n(E: )?apt-be: `).ReplaceAllString(said, " ")
}

// testGuardSnapshot finds one boot environment that is the system as before.
func testGuardSnapshot(t *testing.T, l lab, c client) {
	m := l.desktop(t, "snapshot")
	defer l.done(t, m)
	before := m.Shell(t, "dpkg-query -W")
	checkAllNewer(t, m, m.Run(t, c.command))
	found := environments(t, m)
	if len(found) != 1 || found[0].Made != "guard" || found[0].State != "ready" || !safetyName.MatchString(found[0].Name) {
		t.Fatalf("boot environments %v, want one safety snapshot", found)
	}
	name := found[0].Name
	if was := m.Shell(t, "apt-be run -r "+name+" -- dpkg-query -W"); was != before {
		t.Errorf("the packages in it are\n%s\nand were\n%s", was, before)
	}
	if list := m.Shell(t, "apt-be list"); !strings.Contains(list, "as before an upgrade") {
		t.Errorf("the list is\n%s", list)
	}
	said := guardSaid(t, m)
	if strings.Count(said, "is saved as boot environment "+name+".") != 1 || !strings.Contains(said, "apt-be shell "+name) {
		t.Errorf("the guard says\n%s", said)
	}
}

// testGuardVeto finds that nothing was changed, and that whoever asked for it
// is told why and what to do.
func testGuardVeto(t *testing.T, l lab, c client) {
	m := l.desktop(t, "veto")
	defer l.done(t, m)
	m.Shell(t, "pkcon -p refresh >/dev/null") // starts the daemon, which writes files of its own
	daemon := m.Shell(t, "pidof packagekitd")
	// What a run of apt writes before it runs hooks, and what the clients write
	// for themselves. Synaptic has dpkg configure what is left to be, which is
	// nothing: that writes the same database again, and a line in the log.
	theirs := []string{"/var/log/apt", "/var/log/dpkg.log", "/var/lib/dpkg/status-old", "/var/lib/PackageKit", "/var/lib/synaptic", "/root", "/var/lib/xkb", "/var/cache/fontconfig"}
	state := func() machine.Fingerprint {
		prints := m.Fingerprint(t).Timeless()
		maps.DeleteFunc(prints, func(name, _ string) bool {
			return slices.ContainsFunc(theirs, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		})
		return prints
	}
	before := state()
	output := m.Start(t, c.command)
	const reason, advice = `cannot upgrade the running system: Apt-Be::Guard is "veto"`, "To upgrade in a new boot environment, run apt-get dist-upgrade."
	if c.stays {
		await(t, "the guard's refusal", func() bool {
			return strings.Contains(guardSaid(t, m), "Apt-Be::Guard=off with -o or in /etc/apt/apt.conf.d.")
		})
	} else if result := output.Wait(t); result.Status == 0 || !strings.Contains(result.Output, reason) {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	if said := guardSaid(t, m); !strings.Contains(said, reason) || !strings.Contains(said, advice) {
		t.Errorf("the guard says\n%s", said)
	}
	if diff := before.Diff(state()); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if found := environments(t, m); len(found) > 0 {
		t.Errorf("boot environments %v", found)
	}
	if now := m.Shell(t, "pidof packagekitd; pkcon -p get-updates >/dev/null && pidof packagekitd"); now != daemon+daemon {
		t.Errorf("PackageKit's daemon is %q and was %q", now, daemon)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there was no %s", what)
		}
	}
}

func testGuardOff(t *testing.T, l lab, c client) {
	m := l.desktop(t, "off")
	defer l.done(t, m)
	checkAllNewer(t, m, m.Run(t, c.command))
	if found := environments(t, m); len(found) > 0 {
		t.Errorf("boot environments %v", found)
	}
	if said := guardSaid(t, m); said != "" {
		t.Errorf("the guard says\n%s", said)
	}
}

// update has PackageKit upgrade one package.
func update(name string) machine.Command {
	return machine.Command{Args: []string{"pkcon", "-y", "-p", "update", name}}
}

// testTransactions has one daemon upgrade a package after the other: each time
// the system as before is kept, and three of these stay.
func testTransactions(t *testing.T, l lab) {
	m := l.desktop(t, "snapshot")
	defer l.done(t, m)
	daemon := ""
	for i, name := range []string{"bt-many1", "bt-many2", "bt-many3", "bt-many4"} {
		if result := m.Run(t, update(name)); result.Status != 0 {
			t.Fatalf("status %d:\n%s", result.Status, result.Output)
		}
		if now := m.Shell(t, "pidof packagekitd"); daemon != "" && now != daemon {
			t.Errorf("the daemon is %s, and was %s", now, daemon)
		} else {
			daemon = now
		}
		found := environments(t, m)
		if len(found) != min(i+1, 3) {
			t.Fatalf("boot environments after %d transactions: %v", i+1, found)
		}
		newest := found[len(found)-1].Name
		if was := m.Shell(t, "apt-be run -r "+newest+" -- dpkg-query -Wf '${Version}' "+name); was != "1.0" {
			t.Errorf("%s in %s is at %s", name, newest, was)
		}
	}
}

// testPackageKitPending has PackageKit upgrade the running system while an
// upgraded boot environment waits.
func testPackageKitPending(t *testing.T, l lab) {
	m := l.desktop(t, "snapshot")
	defer l.done(t, m)
	m.Shell(t, "apt-get -y dist-upgrade 2>&1")
	if result := m.Run(t, update("bt-many1")); result.Status != 0 {
		t.Fatalf("status %d:\n%s", result.Status, result.Output)
	}
	states := map[string]string{}
	for _, e := range environments(t, m) {
		states[e.Made] = e.State
	}
	if states["redirect"] != "stale" || states["guard"] != "ready" || len(states) != 2 {
		t.Errorf("the boot environments are %v", states)
	}
	// PackageKit shows nobody what dpkg prints; apt keeps it.
	if log := m.Shell(t, "cat /var/log/apt/term.log"); !strings.Contains(log, "lacks this change") {
		t.Errorf("apt's log of its terminal is\n%s", log)
	}
}

// testNoSnapshot has PackageKit upgrade where no safety snapshot can be taken.
func testNoSnapshot(t *testing.T, l lab) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, m *machine.Machine)
		says  []string
	}{
		"another apt-be is at work": {func(t *testing.T, m *machine.Machine) {
			m.Shell(t, "apt-be create one; apt-be destroy one") // there is something to lock
			lock, err := os.OpenFile(l.Path("@apt-be/lock"), os.O_RDWR, 0)
			if err == nil {
				err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lock.Close() })
		}, []string{"try again when the other command has finished"}},
		"a newer apt-be has been at work": {func(t *testing.T, m *machine.Machine) {
			m.Shell(t, "apt-be create one")
			if err := os.WriteFile(l.Path("@apt-be/be/new.json"), []byte(`{"schema": 99}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"written by a newer apt-be", "Upgrade apt-be here, too"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := l.desktop(t, "snapshot")
			defer l.done(t, m)
			c.spoil(t, m)
			before := m.Shell(t, "cat /var/lib/dpkg/status; ls /var/lib/dpkg/updates")
			result := m.Run(t, update("bt-many1"))
			shown := regexp.MustCompile(`\s*\nE: apt-be: `).ReplaceAllString(result.Output, " ")
			for _, want := range append(c.says, "cannot take a safety snapshot: ", "Nothing was changed. To upgrade the running system without a safety snapshot, set Apt-Be::Guard=off with -o or in") {
				if result.Status == 0 || !strings.Contains(shown, want) {
					t.Errorf("status %d, and it does not say %q:\n%s", result.Status, want, result.Output)
				}
			}
			if after := m.Shell(t, "cat /var/lib/dpkg/status; ls /var/lib/dpkg/updates"); after != before {
				t.Error("dpkg's database has changed")
			}
			// The way out that is named works.
			m.Shell(t, "pkill packagekitd; apt-get -y -o Apt-Be::Guard=off install bt-many1")
			if got := version(t, m, "bt-many1"); got != "2.0" {
				t.Errorf("bt-many1 is at %s", got)
			}
		})
	}
}

// testOfflineUpdate has PackageKit prepare updates, and install them as it does
// at the next boot, in system-update.target: that is a run like any other.
func testOfflineUpdate(t *testing.T, l lab) {
	// prepared runs what the boot runs; it can't reboot here in the end.
	prepared := func(t *testing.T, m *machine.Machine) (results string) {
		t.Helper()
		return m.Shell(t, `pkcon -y -p -d update >/dev/null; pkcon -p offline-trigger; test -L /system-update
/usr/libexec/pk-offline-update || true
cat /var/lib/PackageKit/offline-update-competed`)
	}
	t.Run("snapshot", func(t *testing.T) {
		m := l.desktop(t, "snapshot")
		defer l.done(t, m)
		checkAllNewer(t, m, machine.Result{Output: prepared(t, m)})
		if found := environments(t, m); len(found) != 1 || found[0].Made != "guard" {
			t.Errorf("boot environments %v, want one safety snapshot", found)
		}
	})
	t.Run("veto", func(t *testing.T) {
		m := l.desktop(t, "veto")
		defer l.done(t, m)
		if results := prepared(t, m); !strings.Contains(results, "Success=false") || !strings.Contains(results, `Apt-Be::Guard is "veto"`) {
			t.Errorf("the results are\n%s", results)
		}
		if got := version(t, m, "bt-many1"); got != "1.0" {
			t.Errorf("bt-many1 is at %s", got)
		}
	})
	// The boot goes to an upgraded environment as usual, and the other way it
	// would install what had been prepared.
	t.Run("pending", func(t *testing.T) {
		m := l.desktop(t, "snapshot")
		defer l.done(t, m)
		trigger := func() {
			m.Shell(t, "[ -e /var/lib/PackageKit/prepared-update ] || pkcon -y -p -d update >/dev/null; pkcon -p offline-trigger; test -L /system-update")
		}
		trigger()
		m.Shell(t, "apt-get -y dist-upgrade 2>&1")
		found := environments(t, m)
		if len(found) != 1 {
			t.Fatalf("boot environments %v", found)
		}
		m.Shell(t, "test -L /system-update; rm /system-update")
		trigger()
		m.Shell(t, "apt-be sync "+found[0].Name)
		if _, err := os.Lstat(l.Path("@be/" + found[0].Name + "/system-update")); !os.IsNotExist(err) {
			t.Errorf("the environment would install an update as it boots: %v", err)
		}
	})
}
