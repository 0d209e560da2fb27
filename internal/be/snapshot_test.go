package be_test

import (
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

// past keeps a snapshot of @share/mail for an environment.
func (w *fixture) past(e be.Env, path string) {
	w.Helper()
	check(w.T, w.store.Snapshot("@share/mail", path, true))
	sub, err := w.store.Get(path)
	check(w.T, err)
	check(w.T, w.reg.Change(e, func(r *be.Record) { r.ShareSnapshots = []be.ShareSnapshot{{Share: "mail", UUID: sub.UUID}} }))
}

func (w *fixture) pasts() int {
	w.Helper()
	all, err := w.store.List(be.ShareSnapshotDir)
	check(w.T, err)
	return len(all)
}

// A share snapshot is destroyed with its environment, and only then.
func TestShareSnapshotIsDestroyedWithItsEnvironment(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@share/mail"))
	w.write("@share/mail/box", bytes("mail", 50))
	old := w.create("old")
	w.past(old, be.ShareSnapshotDir+"/mail.1")
	check(t, w.locked(func() error { return w.reg.Rename(ctx, w.get("old"), "renamed") }))
	w.recover()
	found, err := w.reg.ShareSnapshotsOf(w.get("renamed"))
	if err != nil || found["mail"].Path != be.ShareSnapshotDir+"/mail.1" {
		t.Errorf("after a rename there are %+v, %v", found, err)
	}

	// The space of a file that the share no longer has belongs to the environment.
	check(t, os.Remove(w.store.Path("@share/mail/box")))
	envs, err := w.reg.List()
	check(t, err)
	space, err := w.reg.Space(envs)
	check(t, err)
	if freed := space.Freed(w.get("renamed")); freed != 50 {
		t.Errorf("destroying it frees %d bytes, want 50", freed)
	}

	// The snapshot of a replaced environment, and one that was interrupted before it
	// was recorded.
	w.past(w.get("renamed"), be.ShareSnapshotDir+"/mail.2")
	check(t, w.store.Snapshot("@share/mail", be.ShareSnapshotDir+"/mail.3", true))
	w.recover()
	if n := w.pasts(); n != 1 {
		t.Errorf("there are %d snapshots, want one", n)
	}
	check(t, w.locked(func() error { return w.reg.Destroy(ctx, w.get("renamed")) }))
	if n := w.pasts(); n != 0 {
		t.Errorf("there are %d snapshots after it was destroyed", n)
	}
	if _, err := w.store.Get("@share/mail"); err != nil {
		t.Error(err)
	}
}

func TestBuilding(t *testing.T) {
	w := newFixture(t)
	build := w.begin("new")
	if names, err := w.reg.Building(); err != nil || len(names) != 1 || names[0] != "new" {
		t.Errorf("Building = %q, %v", names, err)
	}
	check(t, build.Discard(ctx))
	w.recover()
	if names, err := w.reg.Building(); err != nil || len(names) != 0 {
		t.Errorf("Building = %q, %v", names, err)
	}
}
