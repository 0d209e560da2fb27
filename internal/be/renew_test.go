package be_test

import (
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

func TestRenew(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@rootfs/var/lib/machines"))
	old := w.create("old")
	w.write(be.ScratchDir(old.Subvolume.UUID)+"/0/file", "x")
	w.write(be.FailedDir(old.Subvolume.UUID)+"/journal.txt", "x")
	oldBase, err := w.reg.BaseOf(old)
	check(t, err)
	w.write("@rootfs/title", "Debian 12, edited")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	w.checkList("old", "rootfs")
	w.write(build.Path+"/title", "Debian 13")
	e, err := build.Replace(ctx, old, func(*be.Record) {})
	check(t, err)
	w.checkList("old", "rootfs")
	w.checkWhole()
	w.checkRenewed()
	if _, err := os.Lstat(w.store.Path(be.FailedDir(e.Subvolume.UUID) + "/journal.txt")); err != nil {
		t.Error(err)
	}
	base, err := w.reg.BaseOf(e)
	check(t, err)
	if e.Subvolume.UUID == old.Subvolume.UUID || base.UUID == oldBase.UUID {
		t.Errorf("it is the same: %+v, %+v", e, base)
	}
	want := old.Record
	want.UUID, want.BaseUUID = e.Subvolume.UUID, base.UUID
	if got := w.get("old").Record; got.State != want.State || !got.Created.Equal(want.Created) || got.UUID != want.UUID ||
		got.BaseUUID != want.BaseUUID || got.OriginUUID != want.OriginUUID || got.TargetName != "" {
		t.Errorf("the record is %+v, want %+v", got, want)
	}
	for path, want := range map[string]string{"@be/old/title": "Debian 13", "@be-base/old/title": "Debian 12, edited"} {
		if content, err := os.ReadFile(w.store.Path(path)); err != nil || string(content) != want {
			t.Errorf("%s holds %q, %v, want %q", path, content, err, want)
		}
	}
	if _, err := w.store.Get("@be/old/var/lib/machines"); err != nil {
		t.Error(err)
	}
}

// TestRenewOfAnother replaces the environment during its renewal.
func TestRenewOfAnother(t *testing.T) {
	w := newFixture(t)
	old := w.create("old")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	check(t, renewOld(w, w.reg))
	_, err = build.Replace(ctx, old, func(*be.Record) {})
	checkIs(t, "Replace of what is not there any more", err, be.ErrNotFound)
	w.checkWhole()
	w.checkRenewedTitle("Debian 13")
}

// TestRenewKeepsRecordChanges changes the record during the renewal.
func TestRenewKeepsRecordChanges(t *testing.T) {
	w := newFixture(t)
	old := w.create("old")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	check(t, w.locked(func() error { return w.reg.Change(old, func(r *be.Record) { r.Kept = true }) }))
	e, err := build.Replace(ctx, old, func(*be.Record) {})
	check(t, err)
	if !e.Record.Kept {
		t.Error("it is not kept any more")
	}
	build, _, err = w.reg.Renew(ctx, e, w.get("rootfs"), nil)
	check(t, err)
	check(t, w.locked(func() error { return w.reg.Change(e, func(r *be.Record) { r.State = be.Stale }) }))
	_, err = build.Replace(ctx, e, func(*be.Record) {})
	checkIs(t, "Replace of what became stale", err, be.ErrProtected)
	w.checkWhole()
	if got := w.get("old").Record.State; got != be.Stale {
		t.Errorf("it is %s", got)
	}
}

func TestRenewLosesNoSubvolume(t *testing.T) {
	w := newFixture(t)
	old := w.create("old")
	check(t, w.store.Snapshot("@rootfs", "@be/old/snapshot", true))
	_, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	checkIs(t, "Renew with a read-only subvolume inside", err, be.ErrProtected)
	w.checkWhole()
	if _, err := w.store.Get("@be/old/snapshot"); err != nil {
		t.Error(err)
	}
}

func (w *fixture) checkRenewedTitle(want string) {
	w.Helper()
	title, err := os.ReadFile(w.store.Path("@be/old/title"))
	if err != nil || string(title) != want {
		w.Errorf("old holds %q, %v, want %q", title, err, want)
	}
}

// TestRenewTakesTheNewest writes to subvolumes nested in the origin. The environment
// gets their current state, unless it has changed its own copies.
func TestRenewTakesTheNewest(t *testing.T) {
	w := newFixture(t)
	for _, path := range []string{"var/lib/machines", "var/lib/portables"} {
		check(t, w.store.Create("@rootfs/"+path))
	}
	old := w.create("old")
	w.write("@rootfs/var/lib/machines/file", "new")
	w.write("@rootfs/var/lib/portables/file", "new")
	w.write("@be/old/var/lib/portables/file", "own")
	check(t, w.store.Create("@rootfs/var/lib/fresh"))
	w.write("@rootfs/var/lib/fresh/file", "new")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	check(t, os.Mkdir(w.store.Path(build.Path+"/var/lib/fresh"), 0o755))
	check(t, build.CopyFromBase("var/lib/fresh"))
	_, err = build.Replace(ctx, old, func(*be.Record) {})
	check(t, err)
	for path, want := range map[string]string{"machines": "new", "portables": "own", "fresh": "new"} {
		content, err := os.ReadFile(w.store.Path("@be/old/var/lib/" + path + "/file"))
		if err != nil || string(content) != want {
			t.Errorf("%s has %q, %v, want %q", path, content, err, want)
		}
	}
}

// TestSplit turns a copy that was started to renew an environment into an environment of
// its own. The record of the first one does not apply to it.
func TestSplit(t *testing.T) {
	w := newFixture(t)
	old := w.create("old")
	check(t, w.locked(func() error {
		return w.reg.Change(old, func(r *be.Record) { r.Kept, r.Modified, r.Extended = true, true, true })
	}))
	old = w.get("old")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	checkIs(t, "Part with a name that is taken", build.Split(ctx, "old"), be.ErrExists)
	check(t, build.Split(ctx, "new"))
	if build.Scratch != old.Subvolume.UUID {
		t.Errorf("what it writes elsewhere is kept under %s, want %s", build.Scratch, old.Subvolume.UUID)
	}
	e, err := build.Commit(ctx, be.Failed, func(r *be.Record) { r.Reason = "it failed" })
	check(t, err)
	w.checkList("new", "old", "rootfs")
	w.checkWhole()
	if r := e.Record; r.Kept || r.Modified || r.Extended || r.State != be.Failed || r.OriginUUID != old.Record.OriginUUID || r.UUID == old.Record.UUID {
		t.Errorf("the record of the new one is %+v", r)
	}
	if got := w.get("old"); got.Record.UUID != old.Record.UUID || !got.Record.Kept || got.Record.State != be.Ready {
		t.Errorf("the record of the old one is %+v", got.Record)
	}
}
