package btrfs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testSettings upgrades with an apt configuration outside of /etc/apt. The commands
// that examine the result must use it, too.
func testSettings(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, "mkdir /tmp/own /run/own /mnt/own && mount -t tmpfs own /mnt/own")
	const log = "/var/log/of-the-settings"
	settings := "DPkg::Options { \"--log=" + log + "\"; };\nDebug::pkgDepCache::Marker \"1\";\n"
	for _, file := range []string{"/tmp/own/apt.conf", "/run/own/apt.conf", "/root/apt.conf", "/mnt/own/apt.conf"} {
		m.Shell(t, "cat >"+file+" <<'E'\n"+settings+"E")
	}
	m.Shell(t, "echo '#include \"/run/own/apt.conf\";' >/tmp/own/outer.conf")
	before := m.Fingerprint(t)
	for _, c := range []struct{ name, line string }{
		{"environment, /tmp", "APT_CONFIG=/tmp/own/apt.conf apt-get -y dist-upgrade"},
		{"environment, relative", "cd /run/own; APT_CONFIG=./apt.conf apt -y full-upgrade"},
		{"environment, aptitude", "APT_CONFIG=/run/own/apt.conf aptitude -y full-upgrade"},
		{"environment, another file system", "APT_CONFIG=/mnt/own/apt.conf apt-get -y dist-upgrade"},
		{"-c, includes", "apt-get -c/tmp/own/outer.conf -y dist-upgrade"},
		{"--config-file, relative", "cd /tmp/own; apt-get -y --config-file=apt.conf dist-upgrade"},
		{"-o", "apt-get -y -o DPkg::Options::=--log=" + log + " -o Debug::pkgDepCache::Marker=1 -o RootDir=/./ dist-upgrade"},
		{"apt-be", "APT_CONFIG=/tmp/own/apt.conf apt-be dist-upgrade -y -c /root/apt.conf"},
		{"apt-be --in", "apt-be create x; APT_CONFIG=/tmp/own/apt.conf apt-be dist-upgrade --in x -y -c/tmp/own/outer.conf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			result := m.Run(t, machine.Command{Args: []string{"sh", "-c", c.line}})
			found := environments(t, m)
			if result.Status != 0 || len(found) != 1 || found[0].State != "ready" {
				t.Fatalf("status %d, boot environments %v:\n%s", result.Status, found, result.Output)
			}
			if _, err := os.Stat(l.Path("@be/" + found[0].Name + log)); err != nil {
				t.Errorf("the frontend does not have the settings: %v", err)
			}
			m.Shell(t, "apt-be destroy "+found[0].Name)
		})
	}
	checkSame(t, before, m)
	t.Run("names of the root", func(t *testing.T) { testRootsNames(t, l, m, before) })
	t.Run("only upgrades", func(t *testing.T) { testOnlyUpgrades(t, m) })
}

func checkSame(t *testing.T, before machine.Fingerprint, m *machine.Machine) {
	t.Helper()
	except := []string{"/var/log/apt/eipp.log.xz", "/var/log/apt", "/var/log/aptitude", "/var/log", "/root"}
	if diff := before.Without(except...).Diff(m.Fingerprint(t).Without(except...)); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
}

// testRootsNames checks that an upgrade of the running root under another name is
// refused.
func testRootsNames(t *testing.T, l lab, m *machine.Machine, before machine.Fingerprint) {
	m.Shell(t, "mkdir /run/bound && mount --bind / /run/bound && ln -s /proc/self/root /tmp/link")
	for _, option := range []string{"RootDir=/proc/self/root", "RootDir=/proc/1/root", "RootDir=/run/bound", "RootDir=/tmp/link",
		"DPkg::Chroot-Directory=/proc/self/root", "DPkg::Options::=--root=/run/bound"} {
		item, dir, _ := strings.Cut(strings.TrimSuffix(option, "::=--root=/run/bound"), "=")
		if dir == "" {
			dir = "/run/bound"
		}
		checkStops(t, m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "-o", option, "dist-upgrade"}}), frontends()[0],
			"cannot upgrade "+dir+": it is the root of the running system under another name, set by "+item, "without "+item+", the upgrade runs in a new boot environment")
	}
	checkNoEnvironment(t, l)
	m.Shell(t, "umount /run/bound; rmdir /run/bound; rm /tmp/link")
	checkSame(t, before, m)
}

// testOnlyUpgrades checks that an install that only upgrades counts as an upgrade, and
// that the wrapper dies of the frontend's signal.
func testOnlyUpgrades(t *testing.T, m *machine.Machine) {
	for _, line := range []string{"apt-get -y install --only-upgrade bt-many1", "apt -y install ?upgradable", "aptitude -y install ~U", "apt-get -y dselect-upgrade"} {
		result := m.Run(t, machine.Command{Args: strings.Fields(line)})
		found := environments(t, m)
		if result.Status != 0 || len(found) != 1 || found[0].State != "ready" {
			t.Fatalf("%s: status %d, boot environments %v:\n%s", line, result.Status, found, result.Output)
		}
		if version := m.Shell(t, "dpkg-query -W -f '${Version}' bt-many1"); version == "2.0" {
			t.Fatalf("%s upgraded the running system", line)
		}
		if line == "apt-get -y dselect-upgrade" {
			for status, signal := range map[int]string{134: "ABRT", 139: "SEGV", 131: "QUIT", 141: "PIPE", 137: "KILL"} {
				result := m.Run(t, machine.Command{Args: []string{"apt-be", "run", found[0].Name, "--", "sh", "-c", "kill -" + signal + " $$"}})
				if result.Status != status || strings.Contains(result.Output, "goroutine") {
					t.Errorf("a command that dies of %s: status %d:\n%s", signal, result.Status, result.Output)
				}
			}
		}
		m.Shell(t, "apt-be destroy "+found[0].Name)
	}
}
