package be_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// TestForgedCommits makes the last step of a transaction name another environment.
// Whether recovery considers the step done or not, it moves nothing.
func TestForgedCommits(t *testing.T) {
	for _, kind := range []string{"rename", "exchange"} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %v", kind, there), func(t *testing.T) {
				v := newVictims(t)
				uuid := v.kept.Subvolume.UUID
				if !there {
					uuid = v.plain.Subvolume.UUID
				}
				step := txn.Step{Kind: kind, Args: txn.Args{"uuid": uuid, "from": "@be/.new-" + v.build.ID(), "to": "@be/kept"}}
				forge(t, v.file, strings.Replace(stepLine(step.Kind, step.Args), "{", `{"commit":true,`, 1), true)
				before := v.others()
				check(t, v.locked(func() error {
					recovered, err := v.reg.Recover(ctx)
					if len(recovered) != 1 || recovered[0].Err != nil || recovered[0].Done != there {
						t.Errorf("Recover = %+v", recovered)
					}
					return err
				}))
				if after := v.others(); !slices.Equal(before, after) {
					t.Errorf("it was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
			})
		}
	}
}

// TestJournalCutShort cuts the journal of an environment that replaced another one,
// after each line. Recovery must not delete the new environment as if a step had
// created it for the transaction.
func TestJournalCutShort(t *testing.T) {
	for n := 2; cutShort(t, n); n++ {
	}
}

// cutShort reports whether the journal has more than n lines.
func cutShort(t *testing.T, n int) (more bool) {
	t.Run(fmt.Sprintf("%d lines", n), func(t *testing.T) {
		w := newFixture(t)
		old := w.create("old")
		w.write(be.ScratchDir(old.Subvolume.UUID)+"/0/file", "x")
		build, _, err := w.reg.Renew(ctx, old, w.get("rootfs"), nil)
		check(t, err)
		file := w.store.Path("@apt-be/journal/" + build.ID() + ".json")
		check(t, os.Link(file, file+".saved"))
		mounted := true // so that it is not deleted as garbage
		w.reg.Mounted = func(string) ([]string, error) { return []string{"/mnt"}[:map[bool]int{true: 1}[mounted]], nil }
		_, err = build.Replace(ctx, old, func(*be.Record) {})
		check(t, err)
		mounted = false
		check(t, os.Rename(file+".saved", file))
		text, err := os.ReadFile(file)
		check(t, err)
		lines := strings.SplitAfter(string(text), "\n")
		if more = n < len(lines)-1; !more {
			if n < 6 {
				t.Errorf("it has %d lines", n)
			}
			return
		}
		check(t, os.WriteFile(file, []byte(strings.Join(lines[:n], "")), 0o600))
		before := w.tree()
		check(t, w.locked(func() error {
			recovered, err := w.reg.Recover(ctx)
			if len(recovered) != 1 || !errors.Is(recovered[0].Err, be.ErrProtected) {
				t.Errorf("Recover = %+v", recovered)
			}
			return err
		}))
		if after := w.tree(); !slices.Equal(before, after) {
			t.Errorf("it was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	})
	return more
}

// A power cut emptied the record and removed the last lines of the journal. The
// snapshot is deleted all the same.
func TestEmptyRecordOfInterruptedBuild(t *testing.T) {
	v := newVictims(t)
	text, err := os.ReadFile(v.file)
	check(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	snapshots := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"kind":"record"`) })
	if snapshots < 2 {
		t.Fatalf("the journal has no record after its snapshots:\n%s", text)
	}
	check(t, os.WriteFile(v.file, []byte(strings.Join(lines[:snapshots], "")), 0o600))
	built, err := v.store.Get("@be/.new-" + v.build.ID())
	check(t, err)
	v.write("@apt-be/be/"+built.UUID+".json", "")
	check(t, v.locked(func() error {
		recovered, err := v.reg.Recover(ctx)
		if len(recovered) != 1 || recovered[0].Err != nil {
			t.Errorf("Recover = %+v", recovered)
		}
		return err
	}))
	if _, err := v.store.Get(built.Path); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the snapshot: %v, want it deleted", err)
	}
}

// The name of garbage contains the UUID of the destroyed subvolume.
func TestGarbageHasUUIDOfDestroyed(t *testing.T) {
	w := newFixture(t)
	e, other := w.create("e"), w.create("other")
	check(t, w.store.Rename("@be/e", "@be/.new-"+other.Subvolume.UUID))
	check(t, w.store.Rename("@be/other", "@be/e"))
	check(t, w.locked(func() error {
		recovered, err := w.reg.Recover(ctx)
		if len(recovered) != 1 || recovered[0].Err == nil || !strings.Contains(recovered[0].Err.Error(), "is not what was destroyed: give it another name") {
			t.Errorf("Recover = %+v", recovered)
		}
		return err
	}))
	if sub, err := w.store.Get("@be/.new-" + other.Subvolume.UUID); err != nil || sub.UUID != e.Subvolume.UUID {
		t.Errorf("it is %+v, %v", sub, err)
	}
}

// A mounted subvolume is never deleted.
func TestMountedGarbageStays(t *testing.T) {
	w := newFixture(t)
	e := w.create("e")
	garbage := "@be/.new-" + e.Subvolume.UUID
	check(t, w.store.Rename("@be/e", garbage))
	mounted := true
	w.reg.Mounted = func(subvolume string) ([]string, error) {
		if mounted && subvolume == garbage {
			return []string{"/mnt"}, nil
		}
		return nil, nil
	}
	w.recover()
	if _, err := w.store.Get(garbage); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	mounted = false
	w.recover()
	w.checkWhole()
}
