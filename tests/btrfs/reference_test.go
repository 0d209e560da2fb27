package btrfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// explained are the files that differ between two upgrades of the same root with the
// same packages, and the reasons.
func explained() map[string]string {
	return map[string]string{
		"/var/log/alternatives.log":     "says when",
		"/var/log/apt/history.log":      "says when, and the command line",
		"/var/log/apt/term.log":         "says when",
		"/var/log/dpkg.log":             "says when",
		"/var/log/apt/eipp.log.xz":      "says how the planner was called",
		"/var/cache/ldconfig/aux-cache": "holds inode numbers and times",
		"/var/lib/apt/listchanges":      "holds times",
		"/var/lib/apt/listchanges.db":   "holds times",
		"/var/cache/apt-show-versions":  "holds perl's hashes, which have no order",
		"/var/lib/rkhunter/db":          "holds inode numbers",
		"/etc/.git":                     "commits say when; with all below it",
		"/etc/.hg":                      "so too",
	}
}

// testReference upgrades a root in place, and another one by a redirected run: the
// environment and the root are equal, file for file.
func testReference(t *testing.T, l lab) {
	inPlace := l.system(t, with, "@native", packages.Good)
	compare(t, l, inPlace, l.system(t, with, running, packages.Good))
}

// testRelease does the same with the upgrade to the next release of Debian, from the
// host's archive.
func testRelease(t *testing.T, l lab) {
	if l.Recipe != "oldstable" {
		return // there is no newer release
	}
	lines := l.sources(t, "STABLE")
	l = l.withArchives()

	const prepared = "@prepared"
	m := l.Start(t, with, prepared)
	m.WriteFile(t, "/etc/apt/sources.list", lines)
	m.Shell(t, "apt-get -q update")
	m.Stop(t)
	compare(t, l, l.Start(t, prepared, "@native"), l.Start(t, prepared, running))
}

// sources returns the lines of sources.list for a release, OLDSTABLE or STABLE, from
// the host's archive.
func (l lab) sources(t testing.TB, release string) string {
	t.Helper()
	command := exec.Command("bash", "-euc", `. scripts/lib/archive.sh; . scripts/lib/releases.sh
archive_update >&2; archive_sources "${!1}"`, "bash", release)
	command.Dir, command.Stderr = l.Project(), os.Stderr
	lines, err := command.Output()
	if err != nil {
		t.Fatalf("cannot find the archive of %s: %v", release, err)
	}
	return string(lines)
}

// withArchives returns the lab with the downloaded packages in its machines.
func (l lab) withArchives() lab {
	image := *l.Image
	image.Archives = filepath.Join(l.Project(), ".cache/archives")
	return lab{&image}
}

// compare upgrades both machines, the second one by a redirected run, and compares
// them, including the output of the queries, which are scripts.
func compare(t *testing.T, l lab, inPlace, redirected *machine.Machine, queries ...string) {
	t.Helper()
	defer l.done(t, inPlace)
	defer redirected.Stop(t)
	command := machine.Command{
		Args: []string{"apt-get", "-y", "dist-upgrade"},
		Env:  []string{"DEBIAN_FRONTEND=noninteractive"},
	}
	bypassing := command
	bypassing.Env = append([]string{"APT_BE_BYPASS=1"}, command.Env...)
	for _, run := range []struct {
		m       *machine.Machine
		command machine.Command
	}{{inPlace, bypassing}, {redirected, command}} {
		if result := run.m.Run(t, run.command); result.Status != 0 {
			t.Fatalf("%q: status %d:\n%s", run.command.Env, result.Status, result.Output)
		}
	}
	found := environments(t, redirected)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("boot environments %v, want one that is ready", found)
	}
	subvolume := "@be/" + found[0].Name
	redirected.Stop(t)
	result := l.Boot(t, subvolume)
	defer result.Stop(t)
	for _, query := range append(queries,
		"dpkg -l",
		"apt-mark showauto",
		"apt-mark showhold",
		"dpkg --audit",
		"dpkg-query -W -f '${Package}${Conffiles}\n'",
		"debconf-show --listowners | sort",
	) {
		if want, got := inPlace.Shell(t, query), result.Shell(t, query); got != want {
			t.Errorf("%s in place:\n%s\nin the boot environment:\n%s", query, want, got)
		}
	}
	compareFiles(t, inPlace.Fingerprint(t).Timeless(), l.Fingerprint(t, subvolume).Timeless())
}

func compareFiles(t *testing.T, want, got machine.Fingerprint) {
	t.Helper()
	for name := range explained() {
		want, got = want.WithoutTree(name), got.WithoutTree(name)
	}
	if diff := want.Diff(got); len(diff) > 0 {
		t.Errorf("files in place (-) and in the boot environment (+):\n%s", strings.Join(diff, "\n"))
	}
}
