package btrfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// outcome is the result of an upgrade: its exit, and the package database.
type outcome struct {
	status  int
	output  string
	dpkg    []string // package, version and status of each package except apt-be
	marks   string   // apt's extended_states
	audit   string   // the output of dpkg --audit
	trigger string   // the record of the package with the trigger
	logged  bool     // apt's log of dpkg's terminal exists
}

// record reads the package database below dir.
func record(t *testing.T, dir string, result machine.Result) outcome {
	t.Helper()
	o := outcome{status: result.Status, output: result.Output}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(data)
	}
	o.marks = read("var/lib/apt/extended_states")
	o.trigger = read("var/lib/bt-trig/seen")
	o.logged = strings.Contains(read("var/log/apt/term.log"), "bt-many1 (2.0)")
	for _, stanza := range strings.Split(read("var/lib/dpkg/status"), "\n\n") {
		var line []string
		for _, field := range strings.Split(stanza, "\n") {
			if key, _, _ := strings.Cut(field, ":"); key == "Package" || key == "Version" || key == "Status" {
				line = append(line, field)
			}
		}
		slices.Sort(line)
		if len(line) > 0 && line[0] != "Package: apt-be" {
			o.dpkg = append(o.dpkg, strings.Join(line, " "))
		}
	}
	slices.Sort(o.dpkg)
	return o
}

// native runs a frontend on a machine without apt-be.
func (l lab) native(t *testing.T, f frontend, archive packages.Variant, run drive) outcome {
	t.Helper()
	m := l.system(t, plain, "@native", archive)
	result := run(t, m, f)
	o := record(t, m.Path(""), result)
	o.audit = m.Shell(t, "dpkg --audit")
	l.done(t, m)
	return o
}

// halfDone reports whether a package is neither in the old nor in the new version.
func (o outcome) halfDone() bool { return o.audit != "" }

// A cell of the table of redirected upgrades: a circumstance and its result.
type cell struct {
	name    string
	archive packages.Variant
	run     drive
	native  drive  // the command to compare with; run itself if nil
	state   string // of the environment; "" for no environment, asDone if it depends on the outcome
	// without are the frontends to which the circumstance does not apply, and why.
	without map[string]string
}

// asDone stands for "ready" if the same upgrade succeeded without apt-be, otherwise for
// "failed".
const asDone = "as done"

func cells() []cell {
	asksNothing := map[string]string{"unattended-upgrade": "it asks nothing"}
	return []cell{
		{name: "success", archive: packages.Good, run: unasked, state: "ready"},
		{name: "nothing to do", archive: packages.Empty, run: unasked},
		{name: "postinst fails", archive: packages.PostinstFails, run: unasked, state: "failed"},
		{name: "preinst fails", archive: packages.PreinstFails, run: unasked, state: "failed"},
		{name: "yes at the prompt", archive: packages.Good, run: answered("y\n"), state: "ready", without: asksNothing},
		{name: "no at the prompt", archive: packages.Good, run: answered("n\n"), without: asksNothing},
		{name: "end of file at the prompt", archive: packages.Good, run: answered(""), without: asksNothing},
		{name: "Ctrl-C at the prompt", archive: packages.Good, run: interruptedAtPrompt, without: asksNothing},
		{name: "Ctrl-C in a postinst", archive: packages.SlowPostinst, run: interruptedInNap, state: asDone},
		{name: "Ctrl-C in a preinst", archive: packages.SlowPreinst, run: interruptedInNap, state: asDone},
		{
			name: "kill -9 of the supervisor", archive: packages.SlowPostinst, native: killed,
			run: killedInNap("the supervisor", func(f frontend) func(machine.Process) bool { return f.isSupervisor }),
		},
		{
			name: "kill -9 of init", archive: packages.SlowPostinst, native: killed, state: "failed",
			run: killedInNap("the sandbox's init", func(frontend) func(machine.Process) bool { return isInit }),
		},
		{name: "kill -9 of the frontend", archive: packages.SlowPostinst, run: killed, state: "failed"},
	}
}

// testRedirect runs the table {frontend} × {circumstance}: a redirected upgrade always
// ends as without apt-be, the running root is unchanged, and the next upgrade removes
// leftovers.
func testRedirect(t *testing.T, l lab) {
	for _, f := range frontends() {
		t.Run(f.name, func(t *testing.T) {
			for _, c := range cells() {
				if reason, without := c.without[f.name]; without {
					t.Logf("no %q: %s", c.name, reason)
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.check(t, l, f) })
			}
		})
	}
}

func (c cell) check(t *testing.T, l lab, f frontend) {
	native := c.native
	if native == nil {
		native = c.run
	}
	want := l.native(t, f, c.archive, native)

	m := l.system(t, with, running, c.archive)
	defer l.done(t, m)
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := c.run(t, m, f)
	t.Logf("without apt-be: status %d, half done: %v; with it: status %d, and\n%s",
		want.status, want.halfDone(), result.Status, result.Output)

	checkStatus(t, want, result)
	checkNoticeLines(t, result.Output)
	checkUntouched(t, m, before, mounts, f)
	state := c.state
	if state == asDone {
		state = want.ends(f)
	}
	// unattended-upgrade handles packages in no fixed order. If the first one could not
	// be unpacked, nothing has changed.
	inPreinst := c.archive == packages.PreinstFails || c.archive == packages.SlowPreinst
	if inPreinst && f.command == "unattended-upgrade" && strings.Contains(result.Output, "No package changed") {
		state = ""
	}
	checkEnvironment(t, l, m, f, state, want)
	checkNextRun(t, l, m, state)
}

// ends returns the expected state of the environment.
func (o outcome) ends(f frontend) string {
	kept := f.command == "unattended-upgrade" && o.status == 1 // it kept a package back
	if !o.halfDone() && (o.status == 0 || kept) {
		return "ready"
	}
	return "failed"
}

// checkStatus compares with the frontend's native exit status. An exception: after
// Ctrl-C apt always exits with 0, but a half-done upgrade must not report success.
func checkStatus(t *testing.T, want outcome, result machine.Result) {
	t.Helper()
	switch {
	case want.status == 0 && want.halfDone():
		if result.Status == 0 {
			t.Errorf("status 0 of a half-done upgrade")
		}
	case result.Status != want.status:
		t.Errorf("status %d, without apt-be %d", result.Status, want.status)
	}
}

// checkNoticeLines checks that apt-be's lines between the lines of another program are
// recognizable, and fit an ordinary terminal.
func checkNoticeLines(t *testing.T, output string) {
	t.Helper()
	for _, line := range strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' }) {
		words, ours := strings.CutPrefix(line, "apt-be: ")
		if ours && len(line) > 80 && strings.Contains(words, " ") && !strings.HasPrefix(words, " ") {
			t.Errorf("%d columns: %q", len(line), line)
		}
		if strings.HasPrefix(line, "level=") || strings.HasPrefix(line, "panic:") {
			t.Errorf("this is not for users: %q", line)
		}
	}
}

// propagated are the files that a redirected unattended-upgrade intentionally writes to
// the running root: its logs, the time of its last run, its list of kept-back packages,
// and their directories, whose times change.
func propagated(f frontend) []string {
	if f.command != "unattended-upgrade" {
		return nil
	}
	return []string{
		"/var/lib/apt/periodic",
		"/var/lib/apt/periodic/unattended-upgrades-stamp",
		"/var/lib/unattended-upgrades",
		"/var/lib/unattended-upgrades/kept-back",
		"/var/log/unattended-upgrades",
		"/var/log/unattended-upgrades/unattended-upgrades-dpkg.log",
		"/var/log/unattended-upgrades/unattended-upgrades-shutdown.log",
		"/var/log/unattended-upgrades/unattended-upgrades.log",
	}
}

// checkUntouched checks that a run has changed nothing in the running root except
// propagated files, and left nothing in the machine.
func checkUntouched(t *testing.T, m *machine.Machine, before machine.Fingerprint, mounts []string, f frontend, more ...string) {
	t.Helper()
	if left := m.Quiet(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if now := m.Mounts(t); !slices.Equal(now, mounts) {
		t.Errorf("mounts left: %q, were %q", now, mounts)
	}
	except := append(propagated(f), more...)
	if diff := before.Without(except...).Diff(m.Fingerprint(t).Without(except...)); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if ran := m.Shell(t, "cat /run/bt-svc 2>/dev/null || true"); ran != "" {
		t.Errorf("a maintainer script reached a service: %s", ran)
	}
}

// checkEnvironment checks that there is one environment in that state, or none for "",
// with the result of the upgrade without apt-be.
func checkEnvironment(t *testing.T, l lab, m *machine.Machine, f frontend, state string, want outcome) {
	t.Helper()
	found := environments(t, m)
	if state == "" {
		if len(found) > 0 {
			t.Errorf("boot environments %v, want none", found)
		}
		return
	}
	if len(found) != 1 || found[0].State != state {
		t.Errorf("boot environments %v, want one that is %s", found, state)
		return
	}
	if want.status > 128 { // natively it was killed at another point of its work
		return
	}
	if f.command == "unattended-upgrade" && want.status != 0 {
		return // it handles packages in no fixed order, up to the fault
	}
	got := record(t, l.Path("@be/"+found[0].Name), machine.Result{})
	if diff := cmp.Diff(want.dpkg, got.dpkg); diff != "" {
		t.Errorf("packages without apt-be (-) and in the boot environment (+):\n%s", diff)
	}
	if got.marks != want.marks {
		t.Errorf("automatic marks in the boot environment:\n%s\nwithout apt-be:\n%s", got.marks, want.marks)
	}
	if got.logged != want.logged {
		t.Errorf("dpkg's output is in term.log: %v, without apt-be %v", got.logged, want.logged)
	}
	if got.trigger != want.trigger {
		t.Errorf("trigger saw %q, without apt-be %q", got.trigger, want.trigger)
	}
}

// checkNextRun upgrades again, from an archive without faults: the upgrade succeeds,
// and no leftovers of the interrupted one exist.
func checkNextRun(t *testing.T, l lab, m *machine.Machine, state string) {
	t.Helper()
	offer(t, m, packages.Good)
	if next := m.Run(t, frontends()[0].quiet()); next.Status != 0 {
		t.Errorf("the next upgrade: status %d:\n%s", next.Status, next.Output)
	}
	states := make(map[string]int)
	var names []string
	for _, e := range environments(t, m) {
		states[e.State]++
		names = append(names, e.Name)
	}
	if states["ready"] != 1 || states["failed"] > 1 || len(states) > 2 || (state != "failed" && len(states) > 1) {
		t.Errorf("boot environments after the next upgrade: %v", environments(t, m))
	}
	slices.Sort(names)
	for _, dir := range []string{"@be", "@be-base"} {
		var inDir []string
		for _, subvolume := range l.Subvolumes(t, dir) {
			inDir = append(inDir, filepath.Base(subvolume))
		}
		if !slices.Equal(inDir, names) {
			t.Errorf("%s holds %q, the boot environments are %q", dir, inDir, names)
		}
	}
}
