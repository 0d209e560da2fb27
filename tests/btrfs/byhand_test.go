package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// byHand is a change of the running system's packages by a program other than apt,
// while an environment is pending.
type byHand struct {
	name string
	does string
	// told: the run reports that the environment lacks the change.
	told bool
	// carried: the environment can be activated all the same, because the change is
	// carried to it like any other file.
	carried bool
	// replay is the exit status of --replay-packages: 10 if it repeated the change in
	// the environment, which is then refused only because there is no boot menu.
	replay int
	says   string // of a replay
	// check prints the same text in every system with the change.
	check string
}

func byHands() []byHand {
	return []byHand{
		{name: "dpkg -i", does: "dpkg -i " + packages.Dir + "/good/bt-fault_2.0_all.deb", told: true, replay: 10,
			check: `dpkg-query -Wf '${Version}' bt-fault`},
		{name: "dpkg --unpack and dpkg --configure -a", does: "dpkg --unpack " + packages.Dir + "/good/bt-conf_2.0_all.deb; dpkg --configure -a", told: true, replay: 10,
			check: `dpkg-query -Wf '${db:Status-Status} ${Version}' bt-conf`},
		{name: "dpkg --purge", does: "dpkg --purge bt-svc", told: true, replay: 10, says: "bt-svc-",
			check: `dpkg-query -Wf '${db:Status-Status}' bt-svc 2>/dev/null | grep installed || ls /etc/init.d/bt-svc 2>/dev/null || true`},
		{name: "apt-mark hold", does: "apt-mark hold bt-trig", replay: 10, says: "apt-mark hold bt-trig", check: "apt-mark showhold"},
		{name: "apt-mark auto", does: "apt-mark auto bt-trig", replay: 10, says: "apt-mark auto bt-trig", check: "apt-mark showauto bt-trig"},
		{name: "dpkg --set-selections", does: "echo less deinstall | dpkg --set-selections", replay: 12, says: "less is",
			check: `dpkg-query -Wf '${db:Status-Want}' less`},
		{name: "dpkg --add-architecture", does: "dpkg --add-architecture i386", carried: true, check: "dpkg --print-foreign-architectures"},
		{name: "dpkg-statoverride", does: "dpkg-statoverride --update --add root mail 2755 /usr/share/bt/same", replay: 10,
			check: "dpkg-statoverride --list /usr/share/bt/same; stat -c '%a %G' /usr/share/bt/same"},
		{name: "dpkg-divert", does: "dpkg-divert --local --rename --add /usr/share/bt/svc", replay: 12, says: "diverted /usr/share/bt/svc",
			check: "dpkg-divert --list /usr/share/bt/svc; ls /usr/share/bt | grep svc"},
	}
}

// testByHand makes each change: either the next boot has it, or the boot is refused.
func testByHand(t *testing.T, l lab) {
	for _, c := range byHands() {
		t.Run(c.name, func(t *testing.T) { c.test(t, l) })
	}
}

func (c byHand) test(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	upgrade := func() (name, state string) {
		t.Helper()
		m.Shell(t, "apt-get -y dist-upgrade 2>&1")
		return pendingOne(t, m)
	}
	name, _ := upgrade()
	if said := m.Shell(t, "{ "+c.does+"; } 2>&1"); strings.Contains(said, "lacks this change") != c.told {
		t.Errorf("it says\n%s", said)
	}
	want, status := "ready", 12
	if c.told {
		want = "stale"
	}
	if c.carried {
		status = 10
	}
	if _, state := pendingOne(t, m); state != want {
		t.Errorf("the environment is %s, want %s", state, want)
	}
	apt := func(status int, says string, args ...string) {
		t.Helper()
		result := m.Run(t, machine.Command{Args: append([]string{"apt-be"}, args...)})
		if result.Status != status || !strings.Contains(result.Output, says) {
			t.Errorf("apt-be %q: status %d, want %d and %q:\n%s", args, result.Status, status, says, result.Output)
		}
	}
	same := func(name string) {
		t.Helper()
		got := m.Shell(t, "apt-be run -r "+name+" -- sh -c '"+strings.ReplaceAll(c.check, "'", `'\''`)+"'")
		if want := m.Shell(t, c.check); got != want {
			t.Errorf("in the environment there is\n%s\nand in the running system\n%s", got, want)
		}
	}
	if c.carried {
		apt(status, "", "activate", name)
		apt(0, "", "sync", name)
		same(name)
		return
	}
	apt(status, "--replay-packages", "activate", name)
	apt(status, "--replay-packages", "sync", name)
	apt(c.replay, c.says, "activate", "--replay-packages", name)
	if c.replay == 10 {
		same(name)
	}
	m.Shell(t, "apt-be destroy "+name)
	name, state := upgrade()
	if state != "ready" {
		t.Errorf("the next upgrade is %s", state)
	}
	same(name)
}

// pendingOne returns the environment that an upgrade has made.
func pendingOne(t *testing.T, m *machine.Machine) (name, state string) {
	t.Helper()
	for _, e := range environments(t, m) {
		if e.Made == "redirect" {
			return e.Name, e.State
		}
	}
	t.Fatal("there is no upgraded boot environment")
	return "", ""
}
