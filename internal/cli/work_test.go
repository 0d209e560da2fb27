package cli

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
)

// After somebody worked in an environment, the record tells what it is now.
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

	// One without a base.
	must(t, f.store.Snapshot("@rootfs", "@be/foreign", false))
	must(t, f.app.describe(context.Background(), f.registry(), f.get("foreign")))
	if r := f.get("foreign").Record; r.Title != "Debian" {
		t.Errorf("the record is %+v", r)
	}
}

func TestSafetySnapshot(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"@rootfs/var/lib/docker", "@rootfs/var/lib/machines"} {
		must(t, f.store.Create(path))
	}
	ctx := context.Background()
	var names []string
	for i := range guardsKept + 1 {
		e, err := f.app.safetySnapshot(ctx, f.registry(), []string{"/var/lib/docker"})
		must(t, err)
		if !slices.Equal(e.Record.LeftOut, []string{"/var/lib/docker"}) || e.Record.Made != be.Guard {
			t.Errorf("the snapshot is %+v", e.Record)
		}
		names = append(names, e.Name)
		f.change(e.Name, func(r *be.Record) { r.Created = r.Created.Add(time.Duration(i-10) * time.Hour) })
	}
	if _, err := f.registry().Get(names[0]); err == nil {
		t.Errorf("%s is there, want the newest %d only", names[0], guardsKept)
	}

	// The older ones can't be removed: no reason to stop apt.
	must(t, f.store.SetBusy("@be/"+names[1], true))
	e, err := f.app.safetySnapshot(ctx, f.registry(), nil)
	if err != nil || !strings.Contains(f.log.String(), "cannot remove older safety snapshots") {
		t.Errorf("safetySnapshot = %v, and the log is %q, want a warning", err, &f.log)
	}
	f.get(e.Name)
}

func TestDropGuardsDoesNotWaitForEver(t *testing.T) {
	f := newFixture(t)
	f.app.Patience = 20 * time.Millisecond
	release, err := f.registry().Lock(context.Background())
	must(t, err)
	defer release()
	if err := f.app.dropGuards(context.Background(), f.registry(), ""); Status(err).Code != exitLocked {
		t.Errorf("dropGuards = %v, want that another process is at work", err)
	}
}

func TestMountMarksOnlyWhatCanBeChanged(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	dir := t.TempDir()
	f.run(1, "mount", "new", dir) // there is no such device
	if f.get("new").Record.Touched {
		t.Error("a mount to look into it counts as work in it")
	}
	f.run(1, "mount", "-w", "new", dir)
	if !f.get("new").Record.Touched {
		t.Error("a writable mount does not count as work in it")
	}
}
