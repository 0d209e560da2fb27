package btrfs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// The subvolumes of the templates: a Debian system with the first versions of the
// test packages, and the same system with apt-be installed.
const (
	plain   = "@plain"
	with    = "@with-apt-be"
	running = "@rootfs"
)

// lab is a file system with both templates of one Debian release.
type lab struct {
	*machine.Image
}

// TestDebian runs all groups on real Debian systems of both releases. The releases
// run in parallel; the groups of one release run one after the other.
func TestDebian(t *testing.T) {
	groups := []struct {
		name string
		run  func(*testing.T, lab)
	}{
		{"redirect", testRedirect},
		{"dry runs", testDryRuns},
		{"mistakes", testMistakes},
		{"daily", testDaily},
		{"unattended", testUnattended},
		{"nights", testNights},
		{"explain", testExplain},
		{"locks", testLocks},
		{"interactive", testInteractive},
		{"package", testPackage},
		{"documented", testDocumented},
		{"impossible", testImpossible},
		{"diskspace", testDiskSpace},
		{"policies", testPolicies},
		{"settings", testSettings},
		{"pending", testPending},
		{"extend", testExtend},
		{"by hand", testByHand},
		{"debconf", testDebconfAnswers},
		{"reconfigure", testReconfigure},
		{"sync", testSync},
		{"sharing", testSharing},
		{"parts", testParts},
		{"replay", testReplay},
		{"synclist", testSynclist},
		{"sandbox", testSandbox},
		{"hostile", testHostile},
		{"bad input", testBadInput},
		{"names", testNames},
		{"archives", testArchives},
		{"repositories", testRepositories},
		{"network", testNetwork},
		{"survive", testSurvive},
		{"hooks", testHooks},
		{"modules", testModules},
		{"reference", testReference},
		{"speed", testSpeed},
		{"release upgrade", testRelease},
		{"release upgrade with grub", testReleaseGrub},
	}
	for _, release := range []string{"oldstable", "stable"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, release)
			for _, group := range groups {
				t.Run(group.name, func(t *testing.T) { group.run(t, l) })
			}
		})
	}
}

// newLab makes the templates.
func newLab(t testing.TB, release string) lab {
	t.Helper()
	return fill(t, lab{machine.NewImage(t, release, plain)})
}

// fill makes the templates of a lab that contains only a plain Debian root.
func fill(t testing.TB, l lab) lab {
	t.Helper()
	m := l.Boot(t, plain)
	if err := packages.Build(m.Path(packages.Dir)); err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/etc/apt/apt.conf.d/52tests", `// Made for tests.
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Unattended-Upgrade::Origins-Pattern { "origin=`+packages.Origin+`"; };
Unattended-Upgrade::OnlyOnACPower "false";
Unattended-Upgrade::Skip-Updates-On-Metered-Connections "false";
`)
	// Without init(8) and runlevel(8), invoke-rc.d runs no init script.
	m.Shell(t, `[ -e /usr/sbin/init ] || { ln -s /bin/true /usr/sbin/init; printf '#!/bin/sh\necho N 2\n' >/usr/sbin/runlevel; chmod +x /usr/sbin/runlevel; }`)
	// The tests need no network.
	m.WriteFile(t, "/etc/apt/sources.list", packages.Source(packages.Installed))
	m.Shell(t, "rm -rf /var/lib/apt/lists/*; apt-get -q update; apt-get -qy install "+
		strings.Join(packages.Manual(), " ")+" "+packages.Auto+"; apt-mark auto "+packages.Auto)
	m.Stop(t)

	l.Snapshot(t, plain, with)
	m = l.Boot(t, with)
	deb := l.builtPackage(t)
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/srv/apt-be.deb", string(data))
	m.Shell(t, "dpkg -i /srv/apt-be.deb")
	m.Stop(t)
	l.Clear(t, plain, with)
	return l
}

// builtPackage returns the newest package that scripts/build-deb made.
func (l lab) builtPackage(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(l.Project(), "build/apt-be_*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("there is not one package in build/ but %q: run scripts/build-deb", found)
	}
	return found[0]
}

// system starts a machine from a template, with the archive in its apt sources.
func (l lab) system(t testing.TB, template, root string, archive packages.Variant) *machine.Machine {
	t.Helper()
	m := l.Start(t, template, root)
	offer(t, m, archive)
	return m
}

// offer makes an archive the machine's only apt source.
func offer(t testing.TB, m *machine.Machine, archive packages.Variant) {
	t.Helper()
	m.WriteFile(t, "/etc/apt/sources.list", packages.Source(archive))
	m.Shell(t, "apt-get -q update")
}

// done stops a test's machine and deletes the subvolumes that the test made.
func (l lab) done(t testing.TB, m *machine.Machine) {
	t.Helper()
	m.Stop(t)
	l.Clear(t, plain, with)
}

// environment is an entry of apt-be list --json.
type environment struct {
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Made    string    `json:"created_by"`
	Created time.Time `json:"created"`
	Running bool      `json:"running"`
}

// environments returns the output of apt-be list in the machine, without the running
// environment.
func environments(t *testing.T, m *machine.Machine) []environment {
	t.Helper()
	var list struct {
		Environments []environment `json:"environments"`
	}
	out := m.Shell(t, "apt-be list --json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("apt-be list --json printed no JSON: %v:\n%s", err, out)
	}
	var others []environment
	for _, e := range list.Environments {
		if !e.Running {
			others = append(others, e)
		}
	}
	return others
}
