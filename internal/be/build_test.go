package be_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/txn"
)

func TestDiscardLeavesNothing(t *testing.T) {
	w := newFixture(t)
	check(t, w.begin("first").Discard(ctx)) // afterwards the registry exists
	before := w.tree()
	build := w.begin("second")
	if slices.Equal(w.tree(), before) {
		t.Fatal("Begin made nothing")
	}
	w.checkList("rootfs") // a build is not listed
	w.write(build.Path+"/new", "x")
	check(t, build.Discard(ctx))
	if after := w.tree(); !slices.Equal(after, before) {
		t.Errorf("there is %q after Discard, want %q", after, before)
	}
	w.checkWhole()
}

func TestCommit(t *testing.T) {
	w := newFixture(t)
	build := w.begin("new")
	w.write(build.Path+"/title", "Debian 13")
	before := time.Now()
	e, err := build.Commit(ctx, be.Ready, func(r *be.Record) { r.Title, r.Changes.Upgraded = "Debian 13", 7 })
	check(t, err)
	w.checkList("new", "rootfs")
	w.checkWhole()
	origin := w.get("rootfs")
	got := w.get("new")
	r := got.Record
	if got.Name != e.Name || r.UUID != e.Record.UUID || got.Running || got.Next {
		t.Errorf("Commit = %+v, the registry has %+v", e, got)
	}
	if r.State != be.Ready || r.CreatedBy != be.User || r.Title != "Debian 13" || r.Changes.Upgraded != 7 ||
		r.Origin != "rootfs" || r.OriginUUID != origin.Subvolume.UUID || r.Schema != be.RecordSchema ||
		strings.Join(r.Command, " ") != "apt-be create new" || r.Path != "" || r.TargetName != "" {
		t.Errorf("the record is %+v", r)
	}
	if age := before.Sub(r.Created); age > 5*time.Second || age < -5*time.Second {
		t.Errorf("it was created at %v", r.Created)
	}
	// List sorts by age even if several environments are made within one second.
	if !r.Created.After(origin.Record.Created) {
		t.Errorf("it was created at %v, its origin at %v", r.Created, origin.Record.Created)
	}
	base, err := w.reg.BaseOf(got)
	check(t, err)
	if base.Path != "@be-base/new" || !base.ReadOnly {
		t.Errorf("its base is %+v", base)
	}
	for path, want := range map[string]string{"@be/new/title": "Debian 13", "@be-base/new/title": "Debian 12", "@rootfs/title": "Debian 12"} {
		if content, err := os.ReadFile(w.store.Path(path)); err != nil || string(content) != want {
			t.Errorf("%s holds %q, %v, want %q", path, content, err, want)
		}
	}
	if !origin.Running || !origin.Next || origin.Record.State != be.Blessed || origin.Record.CreatedBy != be.Installer {
		t.Errorf("the running one is %+v", origin)
	}
}

func TestNames(t *testing.T) {
	w := newFixture(t)
	first, _, err := w.reg.Begin(ctx, w.options(""))
	check(t, err)
	// Another process opens the registry while the first one works.
	other := w.open(w.store)
	second, recovered, err := other.Begin(ctx, w.options(""))
	check(t, err)
	if second.Name == first.Name || !strings.HasPrefix(second.Name, first.Name) || len(recovered) > 0 {
		t.Errorf("both get names %q and %q, and the second recovers %v", first.Name, second.Name, recovered)
	}
	_, _, err = other.Begin(ctx, w.options(first.Name))
	checkIs(t, "Begin of the same name", err, be.ErrExists)
	for _, build := range []*be.Build{second, first} {
		_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
		check(t, err)
	}
	for name, want := range map[string]error{first.Name: be.ErrExists, "rootfs": be.ErrExists, "a/b": be.ErrBadName, ".new-1": be.ErrBadName} {
		_, _, err := w.reg.Begin(ctx, w.options(name))
		checkIs(t, "Begin of "+name, err, want)
	}
	w.checkList(first.Name, second.Name, "rootfs")
	w.checkWhole()
}

func TestNestedSubvolumes(t *testing.T) {
	w := newFixture(t)
	for _, path := range []string{
		"@rootfs/var/lib/machines", "@rootfs/var/lib/machines/web", "@rootfs/var/lib/docker/subvolumes/1",
		"@rootfs/.snapshots/1", "@rootfs/.snapshots/1/inner",
	} {
		check(t, w.store.Create(path))
		w.write(path+"/data", path)
	}
	check(t, w.store.SetReadOnly("@rootfs/.snapshots/1", true))
	check(t, w.begin("warm-up").Discard(ctx))
	before := w.tree()

	options := w.options("new")
	options.LeaveOut = []string{"/var/lib/docker"}
	build, _, err := w.reg.Begin(ctx, options)
	check(t, err)
	want := []string{"/.snapshots/1", "/.snapshots/1/inner", "/var/lib/docker/subvolumes/1"}
	if !slices.Equal(build.Record.LeftOut, want) {
		t.Errorf("left out are %q, want %q", build.Record.LeftOut, want)
	}
	for path, there := range map[string]bool{
		"/var/lib/machines/data": true, "/var/lib/machines/web/data": true,
		"/var/lib/docker/subvolumes/1/data": false, "/.snapshots/1/data": false, "/.snapshots/1": true,
	} {
		if _, err := os.Lstat(w.store.Path(build.Path + path)); (err == nil) != there {
			t.Errorf("%s: %v, want it there: %v", path, err, there)
		}
	}
	copied, err := w.store.Get(build.Path + "/var/lib/machines/web")
	check(t, err)
	kept, err := w.store.Get(build.Base + "/var/lib/machines/web")
	check(t, err)
	original, err := w.store.Get("@rootfs/var/lib/machines/web")
	check(t, err)
	if kept.ParentUUID != original.UUID || !kept.ReadOnly {
		t.Errorf("the base has %+v, want a read-only snapshot of %s", kept, original.UUID)
	}
	if copied.ParentUUID != kept.UUID || copied.ReadOnly {
		t.Errorf("the copy is %+v, want a writable snapshot of %s", copied, kept.UUID)
	}
	check(t, build.Discard(ctx))
	if after := w.tree(); !slices.Equal(after, before) {
		t.Errorf("there is %q after Discard, want %q", after, before)
	}

	options.LeaveOut = []string{"/var/lib/machines/*", "/var/lib/docker/*/*"}
	build, _, err = w.reg.Begin(ctx, options)
	check(t, err)
	if want := append(want, "/var/lib/machines/web"); !slices.Equal(build.Record.LeftOut, want) {
		t.Errorf("left out are %q, want %q", build.Record.LeftOut, want)
	}
	e, err := build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
	check(t, w.locked(func() error { return w.reg.Destroy(ctx, e) }))
	w.checkList("rootfs")
	w.checkWhole()
}

func TestLockContention(t *testing.T) {
	w := newFixture(t)
	build := w.begin("late")
	release, err := w.open(w.store).Lock(ctx)
	check(t, err)
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	var held *txn.HeldError
	if _, _, err := w.reg.Begin(soon, w.options("x")); !errors.As(err, &held) || !strings.Contains(err.Error(), "cannot change the boot environments: process ") {
		t.Errorf("Begin = %v, want a HeldError that names the holder", err)
	}
	// A build that cannot be committed is discarded. That needs no lock.
	if _, err := build.Commit(soon, be.Ready, func(*be.Record) {}); !errors.As(err, &held) {
		t.Errorf("Commit = %v, want a HeldError", err)
	}
	release()
	w.checkList("rootfs")
	w.checkWhole()
}

// apt-be neither moves nor deletes a file that a user made at the place of a base.
func TestCommitKeepsForeignFiles(t *testing.T) {
	for _, dir := range []string{be.BaseDir, be.EnvDir} {
		w := newFixture(t)
		build := w.begin("new")
		check(t, w.store.Create(dir+"/new"))
		before, err := w.store.Get(dir + "/new")
		check(t, err)
		if _, err := build.Commit(ctx, be.Ready, func(*be.Record) {}); err == nil {
			t.Errorf("Commit took the place of %s/new", dir)
		}
		if journals := w.files("journal"); len(journals) > 0 {
			t.Errorf("the rollback was not complete: there are journals %q", journals)
		}
		after, err := w.store.Get(dir + "/new")
		if err != nil || after.UUID != before.UUID {
			t.Errorf("%s/new is %+v, %v, want %+v", dir, after, err, before)
		}
	}
}
