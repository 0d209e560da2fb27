package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testReplay changes packages of the running system after an upgrade, and repeats the
// changes in the environment.
func testReplay(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, "dpkg -P bt-conf bt-many5 2>&1")
	upgraded := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	if upgraded.Status != 0 {
		t.Fatalf("the upgrade ended with %d:\n%s", upgraded.Status, upgraded.Output)
	}
	var name string
	for _, e := range environments(t, m) {
		if e.Made == "redirect" {
			name = e.Name
		}
	}
	inside := func(command string) string {
		t.Helper()
		return strings.TrimSpace(m.Shell(t, "apt-be run -r "+name+" -- sh -c '"+command+"'"))
	}
	// The machine has no boot menu, which is checked last.
	replay := func(want int, says string) {
		t.Helper()
		result := m.Run(t, machine.Command{Args: []string{"apt-be", "activate", "--replay-packages", name}})
		if result.Status != want || !strings.Contains(result.Output, says) {
			t.Errorf("activate: status %d, want %d and %q:\n%s", result.Status, want, says, result.Output)
		}
	}

	m.Shell(t, `apt-get -y install bt-conf 2>&1; dpkg -r bt-svc 2>&1; apt-mark auto bt-many1; apt-mark hold bt-trig
echo 10.9.8.7 peer >>/etc/hosts`)
	if result := m.Run(t, machine.Command{Args: []string{"apt-be", "activate", name}}); result.Status != 12 ||
		!strings.Contains(result.Output, "--replay-packages") {
		t.Errorf("activate: status %d:\n%s", result.Status, result.Output)
	}
	replay(10, "apt-get -y install bt-conf bt-svc-")
	for command, want := range map[string]string{
		"dpkg-query -Wf \\${Version} bt-conf":             "2.0",
		"cat /etc/bt-conf.conf":                           "version = 2.0",
		"dpkg-query -Wf \\${db:Status-Status} bt-svc":     "config-files",
		"dpkg-query -Wf \\${Version} bt-app":              "2.0",
		"apt-mark showauto | grep bt-many":                "bt-many1",
		"apt-mark showhold":                               "bt-trig",
		"tail -n 1 /etc/hosts":                            "10.9.8.7 peer",
		"dpkg --audit; echo $?":                           "0",
		"dpkg-query -W bt-many5 2>/dev/null || echo none": "none",
	} {
		if got := inside(command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	for _, e := range environments(t, m) {
		if e.Name == name && e.State != "ready" {
			t.Errorf("the environment is %s", e.State)
		}
	}

	// A package that is in no archive cannot be installed in the environment, and
	// nothing changes.
	m.Shell(t, `mkdir -p /tmp/own/DEBIAN && cd /tmp && printf 'Package: bt-own\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >own/DEBIAN/control
dpkg-deb -b own own.deb && dpkg -i own.deb 2>&1; echo 10.9.8.6 later >>/etc/hosts`)
	before := inside("dpkg-query -W")
	replay(12, "could not be repeated in the boot environment")
	if after := inside("dpkg-query -W"); after != before {
		t.Errorf("the packages are\n%s\nand were\n%s", after, before)
	}
	if got := inside("tail -n 1 /etc/hosts"); got != "10.9.8.7 peer" {
		t.Errorf("/etc/hosts ends with %q", got)
	}
	if garbage := m.Shell(t, "apt-be list -H | wc -l"); strings.TrimSpace(garbage) != "2" {
		t.Errorf("there are %s environments", garbage)
	}
}
