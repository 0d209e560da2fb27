package be_test

import (
	"os"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// onlyIn returns the paths of the subvolumes that destroying an environment would lose.
func (w *fixture) onlyIn(e be.Env) []string {
	w.Helper()
	only, err := w.reg.UniqueNested(e)
	check(w.T, err)
	var paths []string
	for _, sub := range only {
		paths = append(paths, sub.Path)
	}
	return paths
}

// A unique subvolume is still unique after a renewal. A subvolume that an upgrade
// changed belongs to the environment.
func TestUniqueNestedAfterRenew(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@rootfs/var/lib/machines"))
	w.write("@rootfs/var/lib/machines/file", "x")
	check(t, w.store.Create("@rootfs/srv/changed"))
	w.write("@rootfs/srv/changed/file", "x")
	build := w.begin("old")
	w.write(build.Path+"/srv/changed/file", "by the upgrade")
	old, err := build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
	if got := w.onlyIn(old); len(got) > 0 {
		t.Errorf("%q would be lost of a new one", got)
	}
	check(t, w.store.Create("@be/old/srv/mine"))
	w.write("@be/old/srv/mine/file", "by hand")
	want := []string{"@be/old/srv/mine"}
	if got := w.onlyIn(old); !slices.Equal(got, want) {
		t.Errorf("%q would be lost, want %q", got, want)
	}
	build, _, err = w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	renewed, err := build.Replace(ctx, old, func(*be.Record) {})
	check(t, err)
	if got := w.onlyIn(renewed); !slices.Equal(got, want) {
		t.Errorf("built anew, %q would be lost, want %q", got, want)
	}
	checkIs(t, "Destroy", w.reg.Destroy(ctx, renewed), be.ErrProtected)
}

// A subvolume that was created in an environment during its renewal is not lost.
func TestReplaceKeepsNewNested(t *testing.T) {
	w := newFixture(t)
	old := w.create("old")
	build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
	check(t, err)
	check(t, w.store.Create("@be/old/mine"))
	w.write("@be/old/mine/file", "x")
	_, err = build.Replace(ctx, old, func(*be.Record) {})
	checkIs(t, "Replace", err, be.ErrProtected)
	if _, err := os.Lstat(w.store.Path("@be/old/mine/file")); err != nil {
		t.Error(err)
	}
}

// A subvolume with a swap file is created empty, and keeps no environment. The root's
// own has no such subvolume.
func TestSwap(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@rootfs/swap"))
	w.write("@rootfs/swap/other", "x")
	check(t, w.store.SetBusy("@rootfs/swap", true))
	e := w.create("new")
	if !slices.Equal(e.Record.Emptied, []string{"/swap"}) || len(e.Record.LeftOut) > 0 {
		t.Errorf("the record is %+v", e.Record)
	}
	if _, err := w.store.Get("@be/new/swap"); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(w.store.Path("@be/new/swap")); err != nil || len(entries) > 0 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if got := w.onlyIn(e); len(got) > 0 {
		t.Errorf("%q would be lost", got)
	}
	check(t, w.store.SetBusy("@rootfs", true))
	_, _, err := w.reg.Begin(ctx, w.options("none"))
	checkIs(t, "Begin", err, store.ErrSwapFile)
	w.checkList("new", "rootfs")
}

// TestUniqueNestedAfterCopies copies a subvolume from one environment to the next,
// through the base, together with parts of the root.
func TestUniqueNestedAfterCopies(t *testing.T) {
	w := newFixture(t)
	check(t, w.store.Create("@rootfs/srv/mine"))
	check(t, w.store.Create("@opt"))
	w.write("@rootfs/opt/.keep", "")
	build, _, err := w.reg.Begin(ctx, be.BuildOptions{
		Name: "one", Origin: w.get("rootfs"), CreatedBy: be.Redirect, Parts: []be.Part{{Place: "/opt", Subvolume: "@opt"}},
	})
	check(t, err)
	one, err := build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
	check(t, w.store.SetRunning("@be/one"))
	w.write("@be/one/srv/mine/file", "data")
	w.write("@be/one/opt/file", "data")
	if got := w.onlyIn(one); !slices.Equal(got, []string{"@be/one/srv/mine"}) {
		t.Errorf("%q would be lost, want what is in /srv/mine", got)
	}
	build, _, err = w.reg.Begin(ctx, be.BuildOptions{Name: "two", Origin: w.get("one"), CreatedBy: be.Redirect})
	check(t, err)
	_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
	if got := w.onlyIn(w.get("one")); !slices.Equal(got, []string{"@be/one/srv/mine"}) {
		t.Errorf("as long as two does not run %q would be lost", got)
	}
	check(t, w.store.SetRunning("@be/two"))
	if got := w.onlyIn(w.get("one")); len(got) > 0 {
		t.Errorf("%q would be lost, and two has that", got)
	}
}
