package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testExtend runs other upgrades while an environment is pending: its packages are not
// lost.
func testExtend(t *testing.T, l lab) {
	f := further{T: t, Machine: l.system(t, with, running, packages.PostinstFails)}
	defer l.done(t, f.Machine)
	f.WriteFile(t, "/etc/apt/apt.conf.d/53blacklist", `Unattended-Upgrade::Package-Blacklist { "bt-fault"; };`+"\n")
	before := f.Fingerprint(t)

	// It contains no package that fails, and no new library.
	f.run("unattended-upgrade", 0, "is ready")
	name := f.ready("bt-svc 2.0", "bt-fault 1.0", "bt-app 1.0")
	f.run("apt-get -y upgrade -o APT::Get::Upgrade-Allow-New=false", 100, "extends the pending boot environment "+name, name+" is unchanged.")
	f.ready("bt-svc 2.0", "bt-fault 1.0", "bt-app 1.0")
	if f.failed != 1 {
		t.Errorf("%d failed boot environments, want one", f.failed)
	}
	f.untouched(before)

	f.WriteFile(t, "/etc/own", "mine\n")
	offer(t, f.Machine, packages.Good)
	before = f.Fingerprint(t)
	f.run("apt-get -y dist-upgrade", 0, "extends the pending boot environment "+name, name+" is ready")
	f.ready("bt-svc 2.0", "bt-fault 2.0", "bt-app 2.0")
	if own := f.Shell(t, "apt-be run -r "+name+" -- cat /etc/own"); own != "mine\n" {
		t.Errorf("what was written meanwhile is %q", own)
	}

	// An upgrade that does less has nothing to do, and no log contains its messages
	// twice.
	f.run("unattended-upgrade", 0, "Nothing is newer than in "+name)
	f.run("apt full-upgrade -y", 0, "Nothing is newer than in "+name)
	f.ready("bt-svc 2.0", "bt-fault 2.0", "bt-app 2.0")
	f.untouched(before)
}

// further is a machine with one ready environment.
type further struct {
	*testing.T
	*machine.Machine
	failed int // the number of failed environments
}

func (f *further) run(command string, status int, says ...string) {
	f.T.Helper()
	result := f.Machine.Run(f.T, machine.Command{Args: strings.Fields(command)})
	if result.Status != status {
		f.Errorf("%s: status %d, want %d:\n%s", command, result.Status, status, result.Output)
	}
	checkNoticeLines(f.T, result.Output)
	text := strings.ReplaceAll(result.Output, "\napt-be: ", " ") // as if it was not wrapped
	for _, want := range says {
		if !strings.Contains(text, want) {
			f.Errorf("%s does not say %q:\n%s", command, want, result.Output)
		}
	}
}

// untouched checks that the running root is unchanged, except for the propagated files.
func (f *further) untouched(before machine.Fingerprint) {
	f.T.Helper()
	except := propagated(frontend{command: "unattended-upgrade"})
	if diff := before.Without(except...).Diff(f.Fingerprint(f.T).Without(except...)); len(diff) > 0 {
		f.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
}

// ready returns the name of the only ready environment, which has these versions of
// packages.
func (f *further) ready(versions ...string) string {
	f.T.Helper()
	var ready []string
	f.failed = 0
	for _, e := range environments(f.T, f.Machine) {
		switch e.State {
		case "ready":
			ready = append(ready, e.Name)
		case "failed":
			f.failed++
		default:
			f.Errorf("%s is %s", e.Name, e.State)
		}
	}
	if len(ready) != 1 {
		f.Fatalf("ready are %q, want one", ready)
	}
	for _, want := range versions {
		name, _, _ := strings.Cut(want, " ")
		if got := f.Shell(f.T, "apt-be run -r "+ready[0]+" -- dpkg-query -W -f '${Package} ${Version}' "+name); got != want {
			f.Errorf("there is %q in %s, want %q", got, ready[0], want)
		}
	}
	return ready[0]
}
