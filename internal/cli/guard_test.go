package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/apthook"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// hook returns apt's hook input for an upgrade of two packages, with these
// configuration items.
func hook(t *testing.T, items ...string) apthook.Input {
	t.Helper()
	in, err := apthook.Read(strings.NewReader("VERSION 3\n" + strings.Join(append(items, ""), "\n") + `
a 1 all none < 2 all none /var/cache/apt/archives/a_2_all.deb
b 1 all none < 2 all none /var/cache/apt/archives/b_2_all.deb
`))
	must(t, err)
	return in
}

// said returns the messages since the last call.
func (f *fixture) said() string {
	buffer := f.app.Stderr.(*bytes.Buffer)
	defer buffer.Reset()
	return buffer.String()
}

func TestGuardSnapshot(t *testing.T) {
	f := newFixture(t)
	// The record of the running system is older than its kernel.
	must(t, os.Rename(f.store.Path("@rootfs/boot/vmlinuz-6.1.0"), f.store.Path("@rootfs/boot/vmlinuz-6.1.1")))
	must(t, os.Rename(f.store.Path("@rootfs/boot/initrd.img-6.1.0"), f.store.Path("@rootfs/boot/initrd.img-6.1.1")))
	must(t, os.Rename(f.store.Path("@rootfs/lib/modules/6.1.0"), f.store.Path("@rootfs/lib/modules/6.1.1")))
	name := "before-" + time.Now().Format(time.DateOnly)
	must(t, f.app.guard(context.Background(), hook(t, "CommandLine::AsString=packagekit%20role='update-packages'")))
	e := f.get(name)
	if r := e.Record; r.State != be.Ready || r.CreatedBy != be.Guard || r.Reason != "taken before 2 packages of the running system were upgraded" ||
		!slices.Equal(r.Command, []string{"packagekit", "role='update-packages'"}) || r.Title != "Debian" ||
		len(r.Kernels) != 1 || r.Kernels[0].Version != "6.1.1" {
		t.Errorf("the record is %+v", r)
	}
	if said := f.said(); !strings.Contains(said, "saved as boot environment\napt-be: "+name) || !strings.Contains(said, "apt-be activate "+name) {
		t.Errorf("it says\n%s", said)
	}
	f.run(0, "list")
	if list := f.app.Stdout.(*bytes.Buffer).String(); !strings.Contains(list, "as before an upgrade") {
		t.Errorf("the list is\n%s", list)
	}
	menu, err := f.loader.Menu()
	must(t, err)
	named := false
	for _, entry := range menu.Entries {
		named = named || entry.Name == name
	}
	if !named {
		t.Errorf("the menu is %+v", menu.Entries)
	}
}

func TestGuardDoesNothing(t *testing.T) {
	f := newFixture(t)
	nothing, err := apthook.Read(strings.NewReader("VERSION 3\nApt-Be::Guard=nonsense\n\nc - - none < 1 all none /c.deb\n"))
	must(t, err)
	for _, in := range []apthook.Input{
		nothing, hook(t, "Apt-Be::Guard=off"), hook(t, "Debug::pkgDPkgPM=true"),
	} {
		must(t, f.app.guard(context.Background(), in))
	}
	f.app.OpenStore = func(string) (store.Store, error) { return nil, store.ErrUnsupported }
	must(t, f.app.guard(context.Background(), hook(t)))
	if said := f.said(); said != "" {
		t.Errorf("it says\n%s", said)
	}
}

// failing is a store that cannot make snapshots.
type failing struct {
	store.Store
	err error
}

func (s failing) Snapshot(string, string, bool) error { return s.err }

// If the guard cannot make its snapshot, for whatever reason, it stops apt with the
// reason and a hint.
func TestGuardVetoes(t *testing.T) {
	off := "To upgrade the running system without a safety snapshot, set Apt-Be::Guard=off"
	for name, c := range map[string]struct {
		items   []string
		prepare func(*fixture)
		status  int
		says    []string
	}{
		"policy":        {[]string{"Apt-Be::Guard=veto"}, func(*fixture) {}, exitRefused, []string{`error: cannot upgrade the running system: Apt-Be::Guard is "veto"`, "apt-get dist-upgrade", off}},
		"broken policy": {[]string{"Apt-Be::Guard=perhaps"}, func(*fixture) {}, exitError, []string{`"perhaps" is not one of`, off}},
		"no space": {nil, func(f *fixture) {
			full := failing{f.store, fmt.Errorf("cannot snapshot: %w", syscall.ENOSPC)}
			f.app.OpenStore = func(string) (store.Store, error) { return full, nil }
		}, exitError, []string{"error: cannot take a safety snapshot: ", "no space left", "to free space, delete a boot environment with apt-be destroy", off}},
		"locked": {nil, func(f *fixture) {
			f.app.Patience = 20 * time.Millisecond
			release, err := f.registry().Lock(context.Background())
			must(f.T, err)
			f.Cleanup(release)
		}, exitLocked, []string{"error: cannot take a safety snapshot: ", "try again when the other command has finished", off}},
		"newer registry": {nil, func(f *fixture) {
			f.write("@apt-be/be/99.json", `{"schema": 99}`)
		}, exitError, []string{"written by a newer apt-be", "Upgrade apt-be here, too", off}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.prepare(f)
			err := f.app.explainVeto(f.app.guard(context.Background(), hook(t, c.items...)))
			if got := Status(err).Code; got != c.status || !Silent(err) {
				t.Errorf("status %d, silent %v, want %d", got, Silent(err), c.status)
			}
			said := f.said()
			unbroken := strings.ReplaceAll(said, "\napt-be: ", " ")
			for _, want := range c.says {
				if !strings.Contains(unbroken, want) {
					t.Errorf("it says\n%s\nand not %q", said, want)
				}
			}
		})
	}
}

// PackageKit shows its client only lines in the format of libapt's errors.
func TestAptErrors(t *testing.T) {
	f := newFixture(t)
	var out bytes.Buffer
	f.app.Stderr = aptErrors{&out}
	_ = f.app.explainVeto(f.app.guard(context.Background(), hook(t, "Apt-Be::Guard=veto")))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, "E: apt-be: ") {
			t.Errorf("a line is %q", line)
		}
	}
	if len(lines) < 2 || !hook(t, "CommandLine::AsString=packagekit%20role='x'").PackageKit() || hook(t).PackageKit() {
		t.Errorf("there are %d lines", len(lines))
	}
}

func TestSafetySnapshot(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"@rootfs/var/lib/docker", "@rootfs/var/lib/machines"} {
		must(t, f.store.Create(path))
	}
	ctx := context.Background()
	var names []string
	for range guardsKept + 1 {
		e, err := f.app.safetySnapshot(ctx, f.registry(), hook(t, "Apt-Be::Nested::Leave-Out::=/var/lib/docker"))
		must(t, err)
		if !slices.Equal(e.Record.LeftOut, []string{"/var/lib/docker"}) {
			t.Errorf("the snapshot is %+v", e.Record)
		}
		names = append(names, e.Name)
	}
	if _, err := f.registry().Get(names[0]); err == nil {
		t.Errorf("%s is there, want the newest %d only", names[0], guardsKept)
	}
	menu, err := f.loader.Menu()
	must(t, err)
	if len(menu.Entries) != 1+guardsKept {
		t.Errorf("the menu is %+v", menu.Entries)
	}

	// The older snapshots cannot be destroyed. That does not stop apt.
	must(t, f.store.SetBusy("@be/"+names[1], true))
	e, err := f.app.safetySnapshot(ctx, f.registry(), hook(t))
	if err != nil || !strings.Contains(f.log.String(), "cannot remove older safety snapshots") {
		t.Errorf("safetySnapshot = %v, and the log is %q, want a warning", err, &f.log)
	}
	f.get(e.Name)
}

func TestDropGuardsTimesOut(t *testing.T) {
	f := newFixture(t)
	f.app.Patience = 20 * time.Millisecond
	release, err := f.registry().Lock(context.Background())
	must(t, err)
	defer release()
	if err := f.app.dropGuards(context.Background(), f.registry(), ""); Status(err).Code != exitLocked {
		t.Errorf("dropGuards = %v, want that another process is at work", err)
	}
}

// One run of apt has one name, however often it calls the hook. Two runs of a
// long-lived process have two names.
func TestNameRun(t *testing.T) {
	shell := func(pid int) ancestor {
		return ancestor{pid: pid, start: "9", name: "sh", args: []string{"sh", "-c", "…"}}
	}
	unattended := ancestor{pid: 10, start: "1", name: "unattended-upgr", lock: true,
		args: []string{"/usr/bin/python3", "/usr/bin/unattended-upgrade.distrib", "-v"}}
	step := func(pid int) ancestor {
		return ancestor{pid: pid, start: "2", name: "unattended-upgr", args: unattended.args}
	}
	daemon := ancestor{pid: 20, start: "1", name: "packagekitd", args: []string{"/usr/libexec/packagekitd"}, lock: true}
	child := func(pid int) ancestor { return ancestor{pid: pid, start: "3", name: "packagekitd", args: daemon.args} }
	aptitude := ancestor{pid: 30, start: "1", name: "aptitude-curses", args: []string{"aptitude"}, lock: true}
	login := ancestor{pid: 2, start: "0", name: "sh", args: []string{"-sh"}}
	a, b := []string{"a 1 < 2"}, []string{"b 1 < 2"}
	for name, c := range map[string]struct {
		first, second  []ancestor
		packages, then []string
		same           bool
	}{
		"the steps of unattended-upgrades":      {[]ancestor{shell(40), step(11), unattended}, []ancestor{shell(41), step(12), unattended, login}, a, b, true},
		"a hook that is called twice":           {[]ancestor{shell(40), child(21), daemon}, []ancestor{shell(41), child(21), daemon}, a, a, true},
		"two transactions of a daemon":          {[]ancestor{shell(40), child(21), daemon}, []ancestor{shell(41), child(22), daemon}, a, a, false},
		"two actions of an interactive program": {[]ancestor{shell(40), aptitude}, []ancestor{shell(41), aptitude}, a, b, false},
		"a shell that libapt did without":       {[]ancestor{aptitude}, []ancestor{shell(41), aptitude}, a, a, true},
	} {
		if got := nameRun(c.first, c.packages) == nameRun(c.second, c.then); got != c.same {
			t.Errorf("%s: one run: %v, want %v", name, got, c.same)
		}
	}
	if got := nameRun([]ancestor{shell(40), login}, a); got != "" {
		t.Errorf("without a lock the run is %q", got)
	}
}

func TestParseStat(t *testing.T) {
	text := "4711 (a) (b) S 42 " + strings.Repeat("0 ", 17) + "8888 " + strings.Repeat("0 ", 30)
	a, parent, ok := parseStat(text)
	if !ok || a.pid != 4711 || a.name != "a) (b" || a.start != "8888" || parent != 42 {
		t.Errorf("parseStat = %+v, %d, %v", a, parent, ok)
	}
	for _, bad := range []string{"", "x (y) S 1 2", "4711 y S 1"} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("parseStat took %q", bad)
		}
	}
}
