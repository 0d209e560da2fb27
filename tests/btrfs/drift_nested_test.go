package btrfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/drift"
)

// forkNested is fork with copies of the running system's nested subvolumes.
func (l *driftLab) forkNested(nested ...string) {
	l.Helper()
	storeMust(l.T, l.store.Snapshot("root", "base2", false))
	storeMust(l.T, l.store.Snapshot("base2", "be2", false))
	be, err := l.store.Get("be2")
	storeMust(l.T, err)
	for _, name := range nested {
		storeMust(l.T, l.store.SnapshotOver("root/"+name, "base2/"+name, false))
		storeMust(l.T, l.store.SnapshotOver("base2/"+name, "be2/"+name, false))
	}
	for _, name := range nested {
		storeMust(l.T, l.store.SetReadOnly("base2/"+name, true))
	}
	storeMust(l.T, l.store.SetReadOnly("base2", true))
	l.base, l.target = l.store.Path("base2"), l.store.Path("be2")
	l.sides = drift.Sides{Base: "base2", Running: "root", Target: "be2", ForkGeneration: be.OTransID}
}

// TestDriftInNested changes nested subvolumes on both sides. In one of them the running
// system goes back to an older snapshot.
func TestDriftInNested(t *testing.T) {
	l := newDriftLab(t)
	for _, name := range []string{"srv/both", "srv/older", "srv/gone", "srv/link"} {
		storeMust(t, l.store.Create("root/"+name))
		for _, file := range []string{"one", "two", "three"} {
			l.write(l.running, name+"/"+file, "old\n")
		}
	}
	storeMust(t, os.Link(filepath.Join(l.running, "srv/link/one"), filepath.Join(l.running, "srv/link/same")))
	storeMust(t, l.store.Snapshot("root/srv/older", "kept", false))
	l.write(l.running, "srv/older/one", "newer\n")
	l.write(l.running, "srv/older/four", "newer\n")
	nested := []string{"srv/both", "srv/gone", "srv/link", "srv/older"}
	l.forkNested(nested...)

	for _, name := range nested { // so that none can be carried as a whole
		l.write(l.target, name+"/upgrade", "upgrade\n")
	}
	l.write(l.running, "srv/both/one", "live\n")
	l.write(l.target, "srv/both/two", "next\n")
	storeMust(t, os.Remove(filepath.Join(l.running, "srv/both/three")))
	l.add(l.running, "srv/link/one", "live\n")
	storeMust(t, l.store.Delete("root/srv/gone"))
	storeMust(t, l.store.Delete("root/srv/older"))
	storeMust(t, l.store.Rename("kept", "root/srv/older"))
	d := l.find()
	if refused := d.Refused(); len(refused) > 0 {
		t.Fatalf("refused are %+v", refused)
	}
	storeMust(t, d.Apply(l.store, l.sides))
	for name, want := range map[string]string{
		"srv/both/one": "live\n", "srv/both/two": "next\n", "srv/both/upgrade": "upgrade\n",
		"srv/older/one": "old\n", "srv/older/two": "old\n", "srv/older/upgrade": "upgrade\n",
		"srv/gone/upgrade": "upgrade\n", "srv/link/one": "old\nlive\n", "srv/link/same": "old\nlive\n",
	} {
		l.wantFile(name, want)
	}
	for _, name := range []string{"srv/both/three", "srv/older/four", "srv/gone/one"} {
		if _, err := os.Lstat(filepath.Join(l.target, name)); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	one, err := os.Stat(filepath.Join(l.target, "srv/link/one"))
	storeMust(t, err)
	same, err := os.Stat(filepath.Join(l.target, "srv/link/same"))
	storeMust(t, err)
	if !os.SameFile(one, same) {
		t.Error("two names of a file are two files now")
	}
	if again := l.find(); slices.ContainsFunc(again.Changes, func(c drift.Change) bool { return c.Decision.Refused }) {
		t.Errorf("the second time there are %+v", again.Changes)
	}
}
