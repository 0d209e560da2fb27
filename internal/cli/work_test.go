package cli

import (
	"context"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

// After a user worked in an environment, its record describes the new state.
func TestDescribe(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	f.write("@be/new/etc/os-release", "PRETTY_NAME=\"Debian 13\"\n")
	f.write("@be/new/boot/vmlinuz-6.12.0", "x")
	f.write("@be/new/var/lib/dpkg/status", status("a", "2")+status("c", "1")+status("d", "1"))
	must(t, f.app.describe(context.Background(), f.registry(), f.get("new")))
	r := f.get("new").Record
	if want := (be.Changes{Upgraded: 1, Added: 2, Removed: 1}); r.Changes != want || r.Title != "Debian 13" || len(r.Kernels) != 2 {
		t.Errorf("the record is %+v, want changes %+v", r, want)
	}

	// An environment without a base.
	must(t, f.store.Snapshot("@rootfs", "@be/foreign", false))
	must(t, f.app.describe(context.Background(), f.registry(), f.get("foreign")))
	if r := f.get("foreign").Record; r.Title != "Debian" {
		t.Errorf("the record is %+v", r)
	}
}

func TestMountMarksOnlyWritable(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	dir := t.TempDir()
	f.run(1, "mount", "new", dir) // the device does not exist
	if f.get("new").Record.Modified {
		t.Error("a mount to look into it counts as work in it")
	}
	f.run(1, "mount", "-w", "new", dir)
	if !f.get("new").Record.Modified {
		t.Error("a writable mount does not count as work in it")
	}
}
