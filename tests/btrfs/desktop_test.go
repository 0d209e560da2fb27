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

// client is a program that changes packages by libapt and that apt-be does not wrap.
// Each one upgrades all packages that it can.
type client struct {
	name    string
	command machine.Command
	// stays: after a refusal it shows a window and waits for a user.
	stays bool
	// told: its output contains the reason of a refusal.
	told bool
}

// upgradeInPython is the example in python-apt's documentation. Its hooks run twice,
// because its Cache reads the configuration that apt_pkg has read.
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

// TestDesktop changes the running system by programs other than apt's commands.
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

// guardLog contains a copy of the guard's messages on a desktop, because clients show
// different parts of them.
const guardLog = "/run/guard.log"

// desktop starts a machine with a policy and a message bus, which starts PackageKit's
// daemon on demand, as on a Debian desktop.
func (l lab) desktop(t *testing.T, policy string) *machine.Machine {
	t.Helper()
	m := l.system(t, with, running, packages.Good)
	// PackageKit does not upgrade packages that another package replaces.
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

// version returns the version of a package in the machine.
func version(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	return m.Shell(t, "dpkg-query -Wf '${Version}' "+name)
}

// checkAllNewer checks that the running system has the newer versions.
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

// safetyName matches the names of safety snapshots.
var safetyName = regexp.MustCompile(`^before-\d{4}-\d\d-\d\d(\.\d+)?$`)

// voice matches apt-be's lines, except errors, which are not wrapped.
var voice = regexp.MustCompile(`^(E: )?apt-be: .{0,72}$|^(E: )?apt-be: error: cannot `)

// guardSaid returns the guard's text in one line, and checks its form.
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

// testGuardSnapshot checks that one environment exists, with the system before the
// change.
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

// testGuardVeto checks that no package was changed, and that the user gets the reason
// and a hint.
func testGuardVeto(t *testing.T, l lab, c client) {
	m := l.desktop(t, "veto")
	defer l.done(t, m)
	m.Shell(t, "pkcon -p refresh >/dev/null") // starts the daemon, which writes files of its own
	daemon := m.Shell(t, "pidof packagekitd")
	// Files that apt writes before it runs hooks, and files of the clients. Synaptic
	// runs dpkg --configure for nothing, which rewrites the same database and adds a
	// line to the log.
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

// await waits for a condition.
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

// update makes PackageKit upgrade one package.
func update(name string) machine.Command {
	return machine.Command{Args: []string{"pkcon", "-y", "-p", "update", name}}
}

// testTransactions has one daemon upgrade packages one after the other. Each time the
// previous system is kept, and the newest three stay.
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

// testPackageKitPending has PackageKit upgrade the running system while an environment
// is pending.
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
	// PackageKit does not show dpkg's output; apt logs it.
	if log := m.Shell(t, "cat /var/log/apt/term.log"); !strings.Contains(log, "lacks this change") {
		t.Errorf("apt's log of its terminal is\n%s", log)
	}
}

// testNoSnapshot has PackageKit upgrade where no safety snapshot is possible.
func testNoSnapshot(t *testing.T, l lab) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, m *machine.Machine)
		says  []string
	}{
		"another apt-be is at work": {func(t *testing.T, m *machine.Machine) {
			m.Shell(t, "apt-be create one; apt-be destroy one") // there is a file to lock
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
			// The command in the hint works.
			m.Shell(t, "pkill packagekitd; apt-get -y -o Apt-Be::Guard=off install bt-many1")
			if got := version(t, m, "bt-many1"); got != "2.0" {
				t.Errorf("bt-many1 is at %s", got)
			}
		})
	}
}

// testOfflineUpdate has PackageKit prepare updates, and install them as at the next
// boot, in system-update.target. This is guarded like any other run.
func testOfflineUpdate(t *testing.T, l lab) {
	// prepared runs the commands of that boot; it cannot reboot here.
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
	// The upgraded environment boots normally. The running system would install the
	// prepared update.
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
