package be_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
)

// A taken place is found before an upgrade begins.
func TestCheckFreeOfTakenPlaces(t *testing.T) {
	w := newFixture(t)
	e := w.create("new")
	for _, dir := range []string{"@be/a", "@be-base/b"} {
		check(t, os.MkdirAll(w.store.Path(dir), 0o755))
	}
	w.write("@be/c", "x")
	w.write("@be-base/d", "x")
	check(t, w.store.Create("@be-base/busy")) // it belongs to no environment and cannot be deleted
	check(t, w.store.SetBusy("@be-base/busy", true))
	for _, place := range []string{"@be/a", "@be-base/b", "@be/c", "@be-base/d", "@be-base/busy"} {
		_, name, _ := strings.Cut(place, "/")
		_, _, err := w.reg.Begin(ctx, w.options(name))
		checkIs(t, "Begin of "+name, err, be.ErrExists)
		if err != nil && !strings.Contains(err.Error(), place) {
			t.Errorf("Begin = %v, want it to name %s", err, place)
		}
		checkIs(t, "Rename to "+name, w.locked(func() error { return w.reg.Rename(ctx, e, name) }), be.ErrExists)
		checkIs(t, "CheckFree of "+name, w.reg.CheckFree(name), be.ErrExists)
	}
	checkIs(t, "CheckFree of a bad name", w.reg.CheckFree("a/b"), be.ErrBadName)
	check(t, w.reg.CheckFree("free"))

	today := time.Now().Format(time.DateOnly)
	w.write("@be/"+today, "x")
	w.write("@be-base/"+today+".2", "x")
	build, _, err := w.reg.Begin(ctx, w.options(""))
	check(t, err)
	if build.Name != today+".3" {
		t.Errorf("the automatic name is %s, want %s.3", build.Name, today)
	}
	_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(t, err)
}

func TestRecoverRemovesHalfWrittenRecords(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	before := len(w.files("be"))
	w.write("@apt-be/be/.tmp-0000.json-123", `{"schema":`)
	w.recover()
	if after := w.files("be"); len(after) != before {
		t.Errorf("there are %q, want %d records", after, before)
	}
	w.checkWhole()
}

func TestIdentifyReadsAgain(t *testing.T) {
	w := newFixture(t)
	e := w.create("new")
	w.write("@be/new/title", "Debian 13")
	got, err := w.reg.Identify(e)
	if err != nil || got.Record.Title != "Debian 13" || len(got.Record.Kernels) != 1 || got.Name != "new" {
		t.Errorf("Identify = %+v, %v", got, err)
	}
	check(t, os.Remove(w.store.Path("@be/new/title")))
	if _, err := w.reg.Identify(e); err == nil || !strings.Contains(err.Error(), "cannot identify the system in new") {
		t.Errorf("Identify of nothing = %v", err)
	}
}
