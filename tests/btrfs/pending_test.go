package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testPending changes a machine while an environment is pending.
func testPending(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	upgrade := func(want int, says string) {
		t.Helper()
		result := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
		if result.Status != want || !strings.Contains(strings.ReplaceAll(result.Output, "\napt-be: ", " "), says) {
			t.Errorf("upgrade: status %d, want %d and %q:\n%s", result.Status, want, says, result.Output)
		}
		checkNoticeLines(t, result.Output)
	}
	// only checks that there is one environment, besides safety snapshots, in a state.
	only := func(state string) string {
		t.Helper()
		var found []environment
		for _, e := range environments(t, m) {
			if e.Made != "guard" {
				found = append(found, e)
			}
		}
		if len(found) != 1 || found[0].State != state {
			t.Fatalf("boot environments %v, want one that is %s", found, state)
		}
		return found[0].Name
	}

	upgrade(0, "is ready")
	first := only("ready")
	upgrade(0, "Nothing is newer than in "+first)
	if name := only("ready"); name != first {
		t.Errorf("the same upgrade again made %s of %s", name, first)
	}

	// Files of the moment do not count as new.
	m.Shell(t, "echo 0.0 0 0 >/etc/adjtime; echo nameserver 192.0.2.1 >/etc/resolv.conf")
	upgrade(0, "Nothing is newer than in "+first)

	// The message names the new file.
	m.Shell(t, "echo mine >/etc/own")
	upgrade(0, "is outdated: /etc/own changed since")
	first = only("ready")

	// A change of the running system's packages is reported in the same run.
	if said := m.Shell(t, "apt-get -y install --reinstall bt-app=1.0 2>&1; dpkg -r bt-svc 2>&1"); !strings.Contains(said, "lacks this change") {
		t.Errorf("nobody said that %s is stale:\n%s", first, said)
	}
	only("stale")
	if result := m.Run(t, machine.Command{Args: []string{"apt-be", "activate", first}}); result.Status != 12 {
		t.Errorf("a stale one can be activated: status %d:\n%s", result.Status, result.Output)
	}
	upgrade(0, "It replaces the pending environment "+first)
	second := only("ready")

	// Also after the hint that nothing is pending is lost, as in a reboot.
	m.Shell(t, "rm -f /run/apt-be/nothing-pending; dpkg -P bt-svc 2>&1")
	only("stale")
	upgrade(0, "It replaces the pending environment "+second)
	third := only("ready")

	// An environment that a user worked in is not replaced: the upgrade extends it.
	m.Shell(t, "apt-be run -r "+third+" -- true; apt-be run "+third+" -- touch /etc/mine; touch /etc/changed")
	upgrade(0, "extends the pending boot environment "+third)
	only("ready")
	m.Shell(t, "apt-be run -r "+third+" -- test -e /etc/mine")
	m.Shell(t, "apt-be keep "+third)
	upgrade(0, "is ready")
	if found := environments(t, m); len(found) < 2 {
		t.Errorf("the kept one is gone: %v", found)
	}
}
