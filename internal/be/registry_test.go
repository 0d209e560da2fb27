package be_test

import (
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

func TestDestroyRemovesAllFiles(t *testing.T) {
	w := newFixture(t)
	e, other := w.create("gone"), w.create("other")
	for _, uuid := range []string{e.Subvolume.UUID, other.Subvolume.UUID, "0000-of-nobody"} {
		w.write(be.ScratchDir(uuid)+"/0/upper/file", "x")
	}
	lock, err := w.reg.Use(ctx, e)
	check(t, err)
	if !w.reg.InUse(e) || w.reg.InUse(other) {
		t.Error("InUse is wrong about which one is in use")
	}
	lock.Release()
	if w.reg.InUse(e) {
		t.Error("it is in use after Release")
	}
	check(t, w.locked(func() error { return w.reg.Destroy(ctx, e) }))
	w.checkList("other", "rootfs")
	w.checkWhole()
	if _, err := os.Lstat(w.store.Path(be.ScratchDir(other.Subvolume.UUID) + "/0/upper/file")); err != nil {
		t.Errorf("what belongs to another one went too: %v", err)
	}
	_, err = w.reg.Get("gone")
	checkIs(t, "Get", err, be.ErrNotFound)
}

// A subvolume that the kernel refuses to delete stays as garbage, blocks no operation,
// and is deleted when possible.
func TestDestroyBusy(t *testing.T) {
	w := newFixture(t)
	e := w.create("busy")
	check(t, w.store.SetBusy("@be/busy", true))
	err := w.locked(func() error { return w.reg.Destroy(ctx, e) })
	if err == nil || !strings.Contains(err.Error(), "cannot destroy busy") {
		t.Errorf("Destroy = %v, want an error", err)
	}
	build, recovered, err := w.reg.Begin(ctx, w.options("new"))
	check(t, err)
	if len(recovered) != 1 || recovered[0].Err == nil {
		t.Errorf("Begin recovered %+v, want what can't be removed", recovered)
	}
	_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
	check(t, w.store.SetBusy("@be/.new-"+e.Subvolume.UUID, false))
	w.recover()
	w.checkList("new", "rootfs")
	w.checkWhole()
}

func TestRename(t *testing.T) {
	w := newFixture(t)
	before := w.create("old")
	w.create("other")
	rename := func(from, to string) error {
		return w.locked(func() error { return w.reg.Rename(ctx, w.get(from), to) })
	}
	check(t, rename("old", "new"))
	w.checkList("new", "other", "rootfs")
	w.checkWhole()
	after := w.get("new")
	if after.Subvolume.UUID != before.Subvolume.UUID || after.Record.BaseUUID != before.Record.BaseUUID || !after.Record.Created.Equal(before.Record.Created) {
		t.Errorf("after the rename it is %+v, before it was %+v", after.Record, before.Record)
	}
	checkIs(t, "Rename to a name that is taken", rename("new", "other"), be.ErrExists)
	checkIs(t, "Rename to its own name", rename("new", "new"), be.ErrExists)
	checkIs(t, "Rename to a bad name", rename("new", "a/b"), be.ErrBadName)
	checkIs(t, "Rename of the installer's", rename("rootfs", "x"), be.ErrProtected)
	w.checkList("new", "other", "rootfs")

	// Its base's place is taken: nothing changes.
	check(t, w.store.Create("@be-base/taken"))
	if err := rename("new", "taken"); err == nil || !strings.Contains(err.Error(), "cannot rename new") {
		t.Errorf("Rename = %v, want an error", err)
	}
	if _, err := w.store.Get("@be-base/taken"); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
	if journals := w.files("journal"); len(journals) > 0 {
		t.Errorf("there are journals: %q", journals)
	}
	w.checkList("new", "other", "rootfs")
}

func TestForeignSubvolumes(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@be/foreign"))
	w.write("@be/foreign/title", "Debian 11")
	check(t, os.Mkdir(w.store.Path("@be/directory"), 0o755))
	w.checkList("foreign", "rootfs")
	e := w.get("foreign")
	if e.Record.CreatedBy != be.User || e.Record.State != be.Ready || e.Record.Title != "Debian 11" || e.Record.BaseUUID != "" {
		t.Errorf("its record is %+v", e.Record)
	}
	_, err := w.reg.BaseOf(e)
	checkIs(t, "BaseOf", err, be.ErrNotFound)
	check(t, w.locked(func() error { return w.reg.Change(e, func(r *be.Record) { r.Kept = true }) }))
	w.recover()
	if !w.get("foreign").Record.Kept {
		t.Error("a change of its record is lost")
	}
	check(t, w.locked(func() error { return w.reg.Rename(ctx, w.get("foreign"), "mine") }))
	if !w.get("mine").Record.Kept {
		t.Error("its record did not come along")
	}
	check(t, w.locked(func() error { return w.reg.Destroy(ctx, w.get("mine")) }))
	w.checkList("rootfs")
	w.checkWhole()
}

func TestRunningAtAnyPath(t *testing.T) {
	for path, name := range map[string]string{"@": "default", "@rootfs2": "rootfs2", "debian/root": "debian-root", "@/.x": "default", "a b": "default"} {
		w := newFixture(t)
		check(t, w.store.Create(path))
		check(t, w.store.SetRunning(path))
		running, err := w.reg.Running()
		check(t, err)
		if running.Name != name || running.Record.Path != path || !running.Next {
			t.Errorf("the one at %s is called %q, its record is %+v", path, running.Name, running.Record)
		}
	}
}

// While another environment runs, the installer's environment is known by its record,
// until it is destroyed.
func TestInstallersEnvironmentStaysListed(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	check(t, w.store.SetRunning("@be/new"))
	w.checkList("new", "rootfs")
	if e := w.get("rootfs"); e.Running || e.Record.State != be.Blessed {
		t.Errorf("the installer's is %+v", e)
	}
	if e := w.get("new"); !e.Running {
		t.Errorf("the new one is %+v, want it running", e)
	}
	check(t, w.store.Delete("@rootfs"))
	w.recover()
	w.checkList("new")
	w.checkWhole()
}

func TestDeletedByUser(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	check(t, w.store.Delete("@be/new"))
	w.checkList("rootfs")
	w.recover()
	w.checkWhole()
	w.create("new")
	w.checkWhole()
}

func TestBaseUnderAnotherName(t *testing.T) {
	w := newFixture(t)
	e := w.create("new")
	check(t, w.store.Rename("@be-base/new", "@be-base/odd"))
	base, err := w.reg.BaseOf(e)
	if err != nil || base.Path != "@be-base/odd" {
		t.Errorf("BaseOf = %+v, %v, want it found by its UUID", base, err)
	}
	check(t, w.locked(func() error { return w.reg.Rename(ctx, e, "newer") }))
	w.checkWhole()
	check(t, w.store.Delete("@be-base/newer"))
	_, err = w.reg.BaseOf(w.get("newer"))
	checkIs(t, "BaseOf of one without", err, be.ErrNotFound)
	check(t, w.locked(func() error { return w.reg.Rename(ctx, w.get("newer"), "newest") }))
	w.checkList("newest", "rootfs")
}

// An environment that a user picked from the menu does not become the next one.
func TestPickedEnvironmentIsNotNext(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	for _, running := range []string{"@rootfs", "@be/new"} {
		check(t, w.store.SetRunning(running))
		envs, err := w.reg.List()
		check(t, err)
		for _, e := range envs {
			if want := e.Name == "rootfs"; e.Next != want || e.Original() != want {
				t.Errorf("%s runs: %s is next: %v, original: %v", running, e.Name, e.Next, e.Original())
			}
		}
		err = be.CheckDestroy(envs, "rootfs", func(be.Env) bool { return false })
		checkIs(t, running+" runs: destroying rootfs", err, be.ErrProtected)
	}
}

// TestIdentifyWithoutParts identifies the original root while it does not run and its
// /usr is elsewhere.
func TestIdentifyWithoutParts(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	check(t, w.locked(func() error { return w.reg.Change(w.get("rootfs"), func(r *be.Record) { r.Path = "@rootfs" }) }))
	check(t, w.store.SetRunning("@be/new"))
	check(t, os.Remove(w.store.Path("@rootfs/title")))
	e, err := w.reg.Identify(w.get("rootfs"))
	if err != nil || e.Record.Title != "Debian 12" || len(e.Record.Kernels) != 1 {
		t.Errorf("Identify = %+v, %v, want what is known of it", e.Record, err)
	}
	check(t, os.Remove(w.store.Path("@be/new/title")))
	if _, err := w.reg.Identify(w.get("new")); err == nil {
		t.Error("an environment, which has its parts in it, was identified without its title")
	}
}
