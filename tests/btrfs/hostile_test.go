package btrfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
	"github.com/apt-be/apt-be/tests/hostile"
)

// testHostile makes the attempts of package hostile: all in one upgrade and in one run,
// and separately those that end or hamper their sandbox.
func testHostile(t *testing.T, l lab) {
	h := newHostile(t, l)
	defer l.done(t, h.Machine)
	t.Run("upgrade", h.testUpgrade)
	t.Run("run", h.testRun)
	for _, a := range hostile.Attempts() {
		if a.Alone {
			t.Run(a.Name, func(t *testing.T) { h.testAlone(t, a) })
		}
	}
	t.Run("killed group", h.testKilledGroup)
}

// hostileLab is a machine with objects that attempts must not reach.
type hostileLab struct {
	*machine.Machine
	lab     lab
	victim  *machine.Running
	session *machine.Terminal // a user's shell
	key     string            // the description of a key of root
}

func newHostile(t *testing.T, l lab) *hostileLab {
	h := &hostileLab{Machine: l.Start(t, with, running), lab: l}
	program, err := hostile.Build(l.Project())
	if err != nil {
		t.Fatal(err)
	}
	if err := packages.BuildHostile(h.Path(packages.Dir), program); err != nil {
		t.Fatal(err)
	}
	h.Shell(t, "dpkg -i "+packages.Dir+"/"+string(packages.HostileFirst)+"/*.deb; mkdir -p "+hostile.Victims+"/directory /run/hostile /run/apt-be; "+
		"echo victim >"+hostile.Victims+"/file; cp "+hostile.Victims+"/file "+hostile.Victims+"/directory; chmod 600 "+hostile.Victims+"/file; "+
		"touch /run/apt-be/hostile-planted; cp "+packages.Dir+"/"+string(packages.HostileFirst)+"/*.deb "+hostile.Planted)
	h.key = plantKey(t, l)
	shared := plantShared(t)
	h.WriteFile(t, hostile.Plan, `{"Key": "`+h.key+`", "Shared": "`+shared+`"}`)
	nodes := deviceNodes(t)
	t.Cleanup(func() { mend(nodes, deviceNodes(t)) })
	h.victim = h.Start(t, machine.Command{Args: []string{hostile.Program, "victim", "/run/hostile"}})
	h.victim.Expect(t, "ready")
	h.session = h.Terminal(t, 24, 80, machine.Command{Args: []string{"bash", "--norc", "--noediting"}, Env: []string{"PS1=prompt>"}})
	h.session.Expect(t, "prompt>")
	offer(t, h.Machine, packages.Hostile)
	return h
}

// choose names the attempts of the package's scripts.
func (h *hostileLab) choose(t *testing.T, names ...string) {
	t.Helper()
	text := ""
	for _, name := range names {
		text += name + "\n"
	}
	h.WriteFile(t, packages.HostileChoice, text)
}

// testUpgrade is an upgrade on a terminal, from a shell with further open files.
func (h *hostileLab) testUpgrade(t *testing.T) {
	h.choose(t)
	before := h.look(t)
	term := h.Terminal(t, 40, 100, machine.Command{Args: []string{"bash", "-c",
		"exec 7</etc 8<>" + hostile.Victims + "/file 9<>/dev/null; apt-get -y dist-upgrade; echo status $?"}})
	start := time.Now()
	result := term.Wait(t)
	t.Logf("the upgrade took %v", time.Since(start))
	if !strings.Contains(result.Output, "status 0") {
		t.Errorf("the upgrade did not go well:\n%s", result.Output)
	}
	found := environments(t, h.Machine)
	if len(found) != 1 {
		t.Fatalf("boot environments %v, want one; apt-get said:\n%s", found, result.Output)
	}
	for _, script := range []string{"config", "preinst", "postinst"} {
		t.Run(script, func(t *testing.T) {
			data, err := os.ReadFile(h.lab.Path("@be/" + found[0].Name + hostile.Results + "/" + script))
			if err != nil {
				t.Fatal(err)
			}
			judge(t, string(data), script == "postinst")
		})
	}
	h.unharmed(t, before)
	h.Shell(t, "apt-be destroy "+found[0].Name)
}

// testRun is an apt-be run, with a directory as input and a file as output.
func (h *hostileLab) testRun(t *testing.T) {
	h.Shell(t, "apt-be create env; : >/srv/hostile-output; chmod 640 /srv/hostile-output")
	before := h.look(t)
	status := h.Run(t, machine.Command{Args: []string{"sh", "-c",
		"exec 7</etc; exec apt-be run env -- " + hostile.Program + " to " + hostile.Results + "/run all </etc 1<>/srv/hostile-output 2>&1"}})
	printed, err := os.ReadFile(h.Path("/srv/hostile-output"))
	if err != nil {
		t.Fatal(err)
	}
	if status.Status != 0 {
		t.Errorf("status %d", status.Status)
	}
	// A run has the machine's network until dpkg runs in it, for apt's downloads.
	judge(t, string(printed), true, "loopback", "loopback-udp", "loopback-addresses")
	h.Shell(t, "cd /run/hostile; grep ^unix contacts >others || true; cat others >contacts")
	h.unharmed(t, before, "/srv/hostile-output")
	if mode := strings.TrimSpace(h.Shell(t, "stat -c %a:%u:%g /srv/hostile-output")); mode != "640:0:0" {
		t.Errorf("what the run wrote to has mode and owners %s", mode)
	}
	h.Shell(t, "apt-be destroy env; rm /srv/hostile-output")
}

// judge checks the results of all attempts. Only the named ones may succeed.
func judge(t *testing.T, lines string, all bool, allowed ...string) {
	t.Helper()
	found := hostile.Parse(lines)
	if len(found) < 20 {
		t.Errorf("there are only %d lines:\n%s", len(found), lines)
	}
	for _, a := range hostile.Attempts() {
		verdict, there := found[a.Name]
		if a.Alone || !there && !all {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			t.Log(verdict)
			switch {
			case !there:
				t.Errorf("%s: it was not made", a.What)
			case verdict.Outcome == hostile.Broken && !slices.Contains(allowed, a.Name):
				t.Errorf("%s: %s", a.What, verdict)
			case strings.HasPrefix(verdict.Detail, "no answer"):
				t.Errorf("%s: %s", a.What, verdict)
			}
		})
	}
}

// late are attempts that take more than a few seconds.
var late = []string{"fork-20000", "memory-hog"}

// alsoUpgraded are the other attempts that an upgrade also makes without -nightly. The
// upgrade is by unattended-upgrade, which reads and writes further files afterwards.
var alsoUpgraded = []string{"links-absolute", "links-magic", "fifos", "kill-all"}

// testAlone makes one attempt in a run of its own, and some in an upgrade of their own.
func (h *hostileLab) testAlone(t *testing.T, a hostile.Attempt) {
	if slices.Contains(late, a.Name) && !*nightly {
		t.Log("only with -nightly")
		return
	}
	h.Shell(t, "apt-be create env")
	before := h.look(t)
	command := []string{"apt-be", "run", "env", "--", hostile.Program, "one", a.Name}
	start := time.Now()
	var output string
	if a.Terminal {
		shell := h.Terminal(t, 24, 80, machine.Command{Args: []string{"bash", "--norc", "--noediting"}, Env: []string{"PS1=prompt>"}})
		shell.Expect(t, "prompt>")
		shell.Send(t, strings.Join(command, " ")+"\r")
		shell.Expect(t, a.Name+": did: (.|\\s)*prompt>")
		// The command gets typed text before this.
		shell.Send(t, "echo still $((40 + 2))\r")
		shell.Expect(t, `still 42\s+prompt>`)
		shell.Send(t, "exit\r")
		output = shell.Wait(t).Output
	} else {
		output = h.Run(t, machine.Command{Args: command}).Output
	}
	t.Logf("%v: %.300s", time.Since(start).Round(10*time.Millisecond), output)
	if verdict := hostile.Parse(output)[a.Name]; verdict.Outcome == hostile.Broken {
		t.Errorf("%s: %s", a.What, verdict)
	}
	h.unharmed(t, before)
	h.Shell(t, "apt-be destroy env")
	if slices.Contains(alsoUpgraded, a.Name) || *nightly {
		h.upgradeAlone(t, a)
	}
}

// upgradeAlone makes one attempt in an upgrade.
func (h *hostileLab) upgradeAlone(t *testing.T, a hostile.Attempt) {
	h.choose(t, a.Name)
	before := h.look(t)
	command := machine.Command{Args: []string{"unattended-upgrade"}}
	if a.Terminal {
		command.Args = []string{"apt-get", "-y", "dist-upgrade"}
	}
	start := time.Now()
	result := h.Run(t, command)
	t.Logf("upgrade, %v: %.600s", time.Since(start).Round(10*time.Millisecond), result.Output)
	h.unharmed(t, before, propagated(frontend{command: "unattended-upgrade"})...)
	for _, e := range environments(t, h.Machine) {
		h.Shell(t, "apt-be destroy "+e.Name)
	}
	h.choose(t)
}

// testKilledGroup kills the process group of the command inside, while other processes
// of the same job run outside.
func (h *hostileLab) testKilledGroup(t *testing.T) {
	h.Shell(t, "apt-be create env")
	before := h.look(t)
	script := "apt-be run env -- " + hostile.Program + " one kill-group | cat; echo the job goes on"
	result := h.Run(t, machine.Command{Args: []string{"setsid", "--wait", "sh", "-c", script}})
	if !strings.Contains(result.Output, "the job goes on") {
		t.Errorf("others of the job are killed: status %d:\n%s", result.Status, result.Output)
	}
	h.unharmed(t, before)
	h.Shell(t, "apt-be destroy env")
}

// plantShared makes a file in the host's /dev/shm, which machines share.
func plantShared(t *testing.T) string {
	t.Helper()
	f, err := os.CreateTemp("/dev/shm", "hostile-planted")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	t.Cleanup(func() { os.Remove(f.Name()) })
	return filepath.Clean(f.Name())
}
