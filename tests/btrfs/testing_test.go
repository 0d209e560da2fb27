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

// TestTesting checks that the frontends of the next release are still understood,
// including their new features.
func TestTesting(t *testing.T) {
	if !*nightly {
		t.Log("only with -nightly")
		return
	}
	l := newLab(t, "testing")
	t.Run("invocations", func(t *testing.T) { testInvocations(t, l) })
	t.Run("upgrade", func(t *testing.T) { testOfTesting(t, l) })
}

// testInvocations runs the tests of package frontend with a machine's frontends.
func testInvocations(t *testing.T, l lab) {
	m := l.system(t, plain, running, packages.Good)
	defer l.done(t, m)
	binary := filepath.Join(t.TempDir(), "frontend.test")
	build := exec.Command("go", "test", "-c", "-o", binary, "./internal/frontend")
	build.Dir, build.Env = l.Project(), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, said)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/srv/frontend.test", string(data))
	said := m.Shell(t, "chmod +x /srv/frontend.test; cd /srv; ./frontend.test -test.v -test.run TestAgainstReal 2>&1")
	for _, f := range []string{"apt-get", "apt", "aptitude"} {
		if !strings.Contains(said, f+": map[") {
			t.Errorf("%s was not asked:\n%s", f, said)
		}
	}
}

// testOfTesting upgrades, rolls back, and makes a frontend die.
func testOfTesting(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	before := m.Shell(t, "dpkg-query -W")
	run := func(line string, status int) machine.Result {
		t.Helper()
		result := m.Run(t, machine.Command{Args: strings.Fields(line), Stdin: "y\n"})
		if result.Status != status || strings.Contains(result.Output, "goroutine") {
			t.Errorf("%s: status %d, want %d:\n%s", line, result.Status, status, result.Output)
		}
		if now := m.Shell(t, "dpkg-query -W"); now != before {
			t.Fatalf("%s changed the running system:\n%s", line, result.Output)
		}
		return result
	}
	run("apt-get -y install --only-upgrade bt-many1", 0)
	for _, e := range environments(t, m) {
		m.Shell(t, "apt-be destroy "+e.Name)
	}
	for _, line := range []string{"apt-get -y dist-upgrade --cli-version 3.0", "apt -y full-upgrade"} {
		run(line, 0)
		if found := environments(t, m); len(found) != 1 || found[0].State != "ready" {
			t.Errorf("%s: boot environments %v", line, found)
		}
	}
	for _, e := range environments(t, m) {
		m.Shell(t, "apt-be destroy "+e.Name)
	}
	// A change in the running system is undone in an environment.
	m.Shell(t, "apt-get -y purge bt-many2; apt-get -y install bt-many2")
	before = m.Shell(t, "dpkg-query -W")
	last := m.Shell(t, "apt history-list 2>/dev/null | awk '$1 ~ /^[0-9]+$/ && $1 >= n { n = $1 } END { printf \"%d\", n }'")
	m.Shell(t, "apt history-info "+last)
	for _, verb := range []string{"history-undo " + last, "history-redo " + last} {
		if said := run("apt "+verb, 0).Output; !strings.Contains(said, "apt runs in the new") {
			t.Errorf("%s is not redirected:\n%s", verb, said)
		}
		for _, e := range environments(t, m) {
			m.Shell(t, "apt-be destroy "+e.Name)
		}
	}

	// apt itself refuses versions that are in no archive.
	if said := run("apt history-rollback 0", 100).Output; !strings.Contains(said, "apt runs in the new") {
		t.Errorf("history-rollback is not redirected:\n%s", said)
	}

	// 3.3.3 dies of SIGABRT here. The wrapper must end in the same way, whatever that
	// is.
	const comment = "apt -y full-upgrade --comment x"
	native := l.system(t, plain, "@native", packages.Good)
	want := native.Run(t, machine.Command{Args: strings.Fields(comment)})
	native.Stop(t)
	t.Logf("%s ends with %d", comment, want.Status)
	run(comment, want.Status)
}
