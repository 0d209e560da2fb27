package btrfs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// dryRuns returns commands that concern an upgrade but make none.
func dryRuns() []string {
	return []string{
		"apt-get -s dist-upgrade",
		"apt-get -y --dry-run upgrade",
		"apt-get -y -d dist-upgrade", // like apt.systemd.daily
		"apt-get -yqd dist-upgrade",
		"apt-get --yes --download-only dist-upgrade",
		"apt-get -y --print-uris dist-upgrade",
		"apt-get -y -o APT::Get::Simulate=yes dist-upgrade",
		"apt-get -y -o Debug::pkgDPkgPM=yes dist-upgrade",
		"apt-get dist-upgrade --help",
		"apt-get dist-upgrade --version",
		"apt-get update",
		"apt-get check",
		"apt-get clean",
		"apt full-upgrade -s",
		"apt -y full-upgrade --download-only",
		"apt full-upgrade --help",
		"apt list --upgradable",
		"apt update",
		"aptitude -s -y full-upgrade",
		"aptitude -y -d full-upgrade",
		"aptitude --help",
		"aptitude --version",
		"unattended-upgrade --dry-run",
		"unattended-upgrade --download-only",
		"unattended-upgrade --help",
		"unattended-upgrades --dry-run", // the other name
		"setpriv --reuid=65534 --clear-groups apt-get -s dist-upgrade",
		"setpriv --reuid=65534 --clear-groups apt-get -y dist-upgrade", // not root
	}
}

// passing matches output that differs between runs: the speed of apt-get update, and
// the name of a directory.
var passing = regexp.MustCompile(`(?m)^Fetched .*$|/tmp/apt-dpkg-install-\w+`)

// testDryRuns checks that a run that changes nothing makes no environment, and has the
// same output as without apt-be.
func testDryRuns(t *testing.T, l lab) {
	native := l.system(t, plain, "@native", packages.Good)
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, native)
	defer m.Stop(t)
	for _, line := range dryRuns() {
		t.Run(line, func(t *testing.T) {
			// unattended-upgrade handles packages in the order of a hash.
			command := machine.Command{Args: strings.Fields(line), Env: []string{"PYTHONHASHSEED=0"}}
			want, got := native.Run(t, command), m.Run(t, command)
			if got.Status != want.Status {
				t.Errorf("status %d, without apt-be %d", got.Status, want.Status)
			}
			if diff := cmp.Diff(passing.ReplaceAllString(want.Output, ""), passing.ReplaceAllString(got.Output, "")); diff != "" {
				t.Errorf("output without apt-be (-) and with it (+):\n%s", diff)
			}
			checkNoEnvironment(t, l)
		})
	}
}

// testMistakes checks that an upgrade that apt refuses leaves nothing.
func testMistakes(t *testing.T, l lab) {
	native := l.system(t, plain, "@native", packages.Good)
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, native)
	defer m.Stop(t)
	before := m.Fingerprint(t)
	for _, line := range []string{
		"apt-get --no-such-option dist-upgrade",
		"apt-get -y dist-upgrade no-such-package",
		"apt-get -y dist-upgrade -t no-such-release",
		"apt -y full-upgrade -c /no/such/file",
		"aptitude --no-such-option full-upgrade",
		"unattended-upgrade --no-such-option",
	} {
		t.Run(line, func(t *testing.T) {
			command := machine.Command{Args: strings.Fields(line)}
			want, got := native.Run(t, command), m.Run(t, command)
			if got.Status != want.Status {
				t.Errorf("status %d, without apt-be %d:\n%s\n%s", got.Status, want.Status, got.Output, want.Output)
			}
			checkNoEnvironment(t, l)
			if diff := before.Diff(m.Fingerprint(t)); len(diff) > 0 {
				t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
			}
		})
	}
}

// testDaily runs the services of apt's daily timers: one step downloads, and the other
// one upgrades.
func testDaily(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.WriteFile(t, "/etc/apt/apt.conf.d/53daily", `APT::Periodic::Enable "1";
APT::Periodic::Update-Package-Lists "always";
APT::Periodic::Download-Upgradeable-Packages "always";
APT::Periodic::Unattended-Upgrade "always";
`)
	m.Shell(t, "/usr/lib/apt/apt.systemd.daily update")
	checkNoEnvironment(t, l)
	m.Shell(t, "/usr/lib/apt/apt.systemd.daily install")
	if found := environments(t, m); len(found) != 1 || found[0].State != "ready" {
		t.Errorf("boot environments after the daily upgrade: %v", found)
	}
	m.Shell(t, "/usr/lib/apt/apt.systemd.daily install")
	if found := environments(t, m); len(found) != 1 {
		t.Errorf("boot environments after another day without news: %v", found)
	}
}

// checkNoEnvironment checks that no environment exists, and destroys any, for the
// following tests.
func checkNoEnvironment(t *testing.T, l lab) {
	t.Helper()
	for _, dir := range []string{"@be", "@be-base"} {
		for _, found := range l.Subvolumes(t, dir) {
			t.Errorf("there is %s", found)
			l.Delete(t, found)
		}
	}
}
