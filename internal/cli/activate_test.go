package cli

import (
	"os"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

// kernelOf returns the version of the kernel that the menu boots for an environment.
func (f *fixture) kernelOf(name string) string {
	f.Helper()
	menu, err := f.loader.Menu()
	must(f.T, err)
	for _, entry := range menu.Entries {
		if entry.Name == name {
			return entry.KernelVersion
		}
	}
	return "none"
}

// Arming is not a state: after disarming, the environment has its earlier state.
func TestActivateKeepsTheState(t *testing.T) {
	for _, state := range []be.State{be.Ready, be.Blessed} {
		f := newFixture(t)
		f.run(0, "create", "new")
		f.change("new", func(r *be.Record) { r.State, r.Modified = state, true })
		f.run(0, "activate", "new")
		if e := f.get("new"); e.Record.State != state || e.ShownState() != be.Armed {
			t.Errorf("activated, it is %+v, want %s and armed", e.Record, state)
		}
		f.run(12, "destroy", "new")
		f.run(12, "rename", "new", "newer")
		f.run(0, "deactivate")
		if e := f.get("new"); e.ShownState() != state || e.Record.Trial != nil {
			t.Errorf("deactivated, it is %+v, want %s", e.Record, state)
		}
		f.run(0, "destroy", "new")
	}
}

// A user's own environment does not become stale when packages change.
func TestUsersEnvironmentIsNotStale(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "mine")
	f.run(0, "activate", "mine")
	f.write("@rootfs/var/lib/dpkg/status", status("a", "2"))
	stale := func() []string {
		l, err := f.app.lifecycle(f.registry())
		must(t, err)
		names, left, err := l.MarkStale(t.Context())
		if must(t, err); left {
			t.Error("something is pending")
		}
		return names
	}
	if names := stale(); len(names) > 0 {
		t.Errorf("stale are %q", names)
	}
	if e := f.get("mine"); e.Record.State != be.Ready || !e.Armed {
		t.Errorf("it is %+v, want ready and armed", e.Record)
	}
	f.run(0, "activate", "mine")

	f.change("mine", func(r *be.Record) { r.CreatedBy = be.Redirect })
	if names := stale(); !slices.Equal(names, []string{"mine"}) {
		t.Errorf("stale are %q, want the upgraded one", names)
	}
	if e := f.get("mine"); e.Record.State != be.Stale || e.Armed {
		t.Errorf("an upgraded one is %+v, want it stale and out of the menu", e.Record)
	}
	f.run(12, "activate", "mine")
}

// activate reads the environment's current kernels, not those in its record.
func TestActivateReadsCurrentKernels(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	f.run(0, "create", "other")
	must(t, os.Remove(f.store.Path("@be/new/boot/vmlinuz-6.1.0")))
	f.write("@be/new/boot/vmlinuz-6.12.0", "new kernel")
	f.write("@be/new/boot/initrd.img-6.12.0", "new initrd")
	f.write("@be/new/lib/modules/6.12.0/modules.dep", "")
	f.run(0, "activate", "new")
	if got := f.kernelOf("new"); got != "6.12.0" {
		t.Errorf("the kernel in the menu is %s", got)
	}
	if kernels := f.get("new").Record.Kernels; len(kernels) != 1 || kernels[0].Version != "6.12.0" {
		t.Errorf("the record has kernels %v", kernels)
	}
	// An environment in the menu that has lost its kernels does not prevent a trial of
	// another one.
	must(t, os.RemoveAll(f.store.Path("@be/new/boot")))
	f.run(0, "activate", "other")
	if got := f.kernelOf("other"); got != "6.1.0" {
		t.Errorf("the kernel in the menu is %s", got)
	}
	f.run(12, "activate", "new")
}
