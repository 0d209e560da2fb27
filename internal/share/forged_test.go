package share_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/txn"
)

// forge leaves the journal of an interrupted transaction with one step and a right
// checksum.
func (w *fixture) forge(step func(id string) txn.Step) (id string) {
	w.Helper()
	check(w.T, w.locked(func() error {
		tx, err := w.reg.Transaction("a test")
		if err != nil {
			return err
		}
		id = tx.ID
		return tx.File().Close()
	}))
	file := w.store.Path(be.HomeDir + "/journal/" + id + ".json")
	text, err := os.ReadFile(file)
	check(w.T, err)
	last, err := hex.DecodeString(string(text[len(text)-1-2*sha256.Size : len(text)-1]))
	check(w.T, err)
	line, err := json.Marshal(map[string]any{"step": step(id)})
	check(w.T, err)
	sum := sha256.Sum256(append(last, line...))
	line = append(line, " "+hex.EncodeToString(sum[:])+"\n"...)
	check(w.T, os.WriteFile(file, append(text, line...), 0o600))
	return id
}

// all returns the contents of the store, without the registry.
func (w *fixture) all() map[string]string {
	w.Helper()
	found := w.files(".")
	maps.DeleteFunc(found, func(name, _ string) bool { return strings.HasPrefix(name, be.HomeDir+"/") })
	for _, sub := range w.subvolumes() {
		found["subvolume "+sub] = ""
	}
	return found
}

func (w *fixture) subvolumes() []string {
	w.Helper()
	all, err := w.store.Nested(".")
	check(w.T, err)
	var paths []string
	for _, sub := range all {
		paths = append(paths, sub.Path)
	}
	return paths
}

// TestForgedJournals forges a step of each kind that names files of others. If any
// argument is out of bounds, recovery does nothing.
func TestForgedJournals(t *testing.T) {
	const stray = "11111111-2222-3333-4444-555555555555"
	add := func(id string) txn.Args { return txn.Args{"from": "@share/.new-" + id} }
	remove := func(string) txn.Args { return txn.Args{"from": ""} }
	inPlace := func(string) txn.Args { return txn.Args{"from": "@share/mail-2026-11-20"} }
	clone := func(string) txn.Args {
		return txn.Args{"from": "@share/mail-2026-11-20", "src": "@share-past/mail.x", "parent": stray}
	}
	for kind, of := range map[string]func(id string) txn.Args{
		"share-name": add, "share-mount": add, "share-enter": add, "share-empty": add,
		"share-fill": remove, "share-freeze": remove, "share-leave": remove,
		"share-clone": clone, "share-seal": inPlace, "share-swap": inPlace,
	} {
		bad := map[string][]string{
			"share": {"", "..", "a/b", ".new-x", "mail/../x"}, "uuid": {"", "../x"}, "env-uuid": {"", "../x"},
			"env":  {"", "..", "/", "@be", "@be/.new-x", "@be-base/other", "@apt-be", "@share/mail", "@share-past/x", "@grub", "@rootfs/../x"},
			"path": {"", "/", "etc", "/etc/..", "/var/mail/", "//etc"},
			"from": {"@share", "@share/precious", "@rootfs", "@be/other", "../x", "@share/mail-../x", "@share/.new-feed"}, "extra": {"x"},
		}
		if of("x")["from"] == "@share/.new-x" {
			bad["path"] = append(bad["path"], "/etc", "/usr/lib", "/var/lib/dpkg", "/var")
		}
		if kind == "share-clone" {
			bad["src"] = []string{"", "@rootfs", "@share-past", "@share-past/../@rootfs", "@be/other"}
			bad["parent"] = []string{"", "x"}
		}
		for key, values := range bad {
			for _, value := range values {
				w := boundsWorld(t)
				w.refuses(kind, func(id string) txn.Args {
					args := txn.Args{"share": "mail", "uuid": stray, "env": "@rootfs", "env-uuid": stray, "path": "/var/mail"}
					maps.Copy(args, of(id))
					args[key] = value
					return args
				})
			}
		}
	}
	for _, dst := range []string{"", "@rootfs", "@share/precious", "@share/.new-feed", "@be/other", "@share/.new-x/../precious"} {
		boundsWorld(t).refuses("share-make", func(string) txn.Args { return txn.Args{"dst": dst} })
	}
	for _, kind := range []string{"share-prepare", "share-show"} {
		for key, values := range map[string][]string{
			"from": {"", "/etc", "/var/mail", "/etc/.apt-be-restore-ID", "/var/.apt-be-restore-feed", "/var/../var/.apt-be-restore-ID"},
			"to":   {"", "/", "/etc/mail", "/var/../etc/x"}, "env": {"", "@share/precious", "@be/.new-x"}, "env-uuid": {"", "x"}, "extra": {"x"},
		} {
			for _, value := range values {
				boundsWorld(t).refuses(kind, func(id string) txn.Args {
					args := txn.Args{"env": "@rootfs", "env-uuid": stray, "from": "/var/.apt-be-restore-" + id, "to": "/var/mail.old"}
					args[key] = strings.ReplaceAll(value, "ID", id)
					return args
				})
			}
		}
	}
}

var shared *fixture

// boundsWorld returns a fixture for all cases in which recovery changes nothing.
func boundsWorld(t *testing.T) *fixture {
	t.Helper()
	if shared == nil || shared.T != t {
		shared = newFixture(t)
		check(t, shared.store.Create("@share/precious"))
		shared.write("@share/precious/file", "x")
	}
	return shared
}

// refuses checks that recovery leaves a step's journal and changes nothing.
func (w *fixture) refuses(kind string, args func(id string) txn.Args) {
	w.Helper()
	id := w.forge(func(id string) txn.Step { return txn.Step{Kind: kind, Args: args(id)} })
	before := w.all()
	w.recover()
	if after := w.all(); !maps.Equal(before, after) {
		w.Errorf("%s %v: it was\n%v\nand is\n%v", kind, args(id), before, after)
	}
	bad, err := w.reg.Unreadable()
	check(w.T, err)
	var bounds *txn.BoundsError
	if len(bad) != 1 || !errors.As(bad[0], &bounds) || bounds.Kind != kind || !strings.Contains(bad[0].Path, id) {
		w.Errorf("%s %v: Unreadable = %v", kind, args(id), bad)
	}
	check(w.T, os.Remove(w.store.Path(be.HomeDir+"/journal/"+id+".json")))
}

// TestForgedJournalsInBounds forges steps whose arguments are all within bounds.
func TestForgedJournalsInBounds(t *testing.T) {
	running := func(w *fixture) be.Env {
		e, err := w.reg.Running()
		check(w.T, err)
		return e
	}
	for name, tt := range map[string]struct {
		prepare func(w *fixture)
		step    func(w *fixture, id string) txn.Step
		says    string // "" if recovery changes nothing
	}{
		"make of what somebody mounts": {func(w *fixture) {
			w.reg.Mounted = func(string) ([]string, error) { return []string{"/mnt"}, nil }
		}, func(w *fixture, id string) txn.Step {
			check(w.T, w.store.Create("@share/.new-"+id))
			return txn.Step{Kind: "share-make", Args: txn.Args{"dst": "@share/.new-" + id}}
		}, "is mounted at /mnt"},
		"make of a snapshot": {func(*fixture) {}, func(w *fixture, id string) txn.Step {
			check(w.T, w.store.Snapshot("@be/other", "@share/.new-"+id, false))
			return txn.Step{Kind: "share-make", Args: txn.Args{"dst": "@share/.new-" + id}}
		}, "is not the subvolume that was created there"},
		"name of what others mount": {func(w *fixture) {
			check(w.T, w.add())
			check(w.T, os.WriteFile(w.store.Path("@rootfs/etc/fstab"), []byte(fstabText), 0o644))
			delete(w.machine.mounts, "/var/mail")
		}, func(w *fixture, id string) txn.Step {
			return w.step("share-name", "mail", "/var/mail", "@share/.new-"+id, running(w))
		}, "other mounts @share/mail"},
		"fill of another directory": {func(w *fixture) { check(w.T, w.add()) }, func(w *fixture, _ string) txn.Step {
			return w.step("share-fill", "mail", "/etc", "", running(w))
		}, "the fstab of @rootfs does not have @share/mail at /etc"},
		"empty of another directory": {func(w *fixture) {
			check(w.T, w.add())
			w.write("@rootfs/srv/file", "x")
		}, func(w *fixture, id string) txn.Step {
			return w.step("share-empty", "mail", "/srv", "@share/.new-"+id, running(w))
		}, "the fstab of @rootfs does not have @share/mail at /srv"},
		"empty by a link": {func(w *fixture) {
			check(w.T, w.add())
			check(w.T, os.Remove(w.store.Path("@rootfs/var/mail")))
			check(w.T, os.Symlink(w.store.Path("@rootfs/etc"), w.store.Path("@rootfs/var/mail")))
		}, func(w *fixture, id string) txn.Step {
			return w.step("share-empty", "mail", "/var/mail", "@share/.new-"+id, running(w))
		}, "too many levels of symbolic links"},
		"clone of a share": {func(w *fixture) {
			check(w.T, w.store.Create("@share/mail-2026-11-20"))
			w.write("@share/mail-2026-11-20/file", "x")
		}, func(w *fixture, _ string) txn.Step {
			step := w.step("share-clone", "mail", "/var/mail", "@share/mail-2026-11-20", running(w))
			step.Args["uuid"] = running(w).Subvolume.UUID
			step.Args["src"], step.Args["parent"] = "@share-past/mail.x", running(w).Subvolume.UUID
			return step
		}, "is not the subvolume that was created there"},
		"leave of another share": {func(w *fixture) {
			check(w.T, w.store.Create("@share/precious"))
			w.write("@share/precious/file", "x")
		}, func(w *fixture, _ string) txn.Step {
			step := w.step("share-leave", "precious", "/var/mail", "", running(w))
			step.Args["share"] = "mail"
			return step
		}, "it is the share precious, not mail"},
		"beside in another environment": {func(w *fixture) {}, func(w *fixture, id string) txn.Step {
			w.write("@be/other/var/.apt-be-restore-"+id+"/file", "x")
			return txn.Step{Kind: "share-prepare", Args: txn.Args{
				"env": "@be/other", "env-uuid": running(w).Subvolume.UUID, "from": "/var/.apt-be-restore-" + id, "to": "/var/mail.x",
			}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			tt.prepare(w)
			var before map[string]string
			w.forge(func(id string) txn.Step {
				step := tt.step(w, id)
				before = w.all()
				return step
			})
			check(t, w.locked(func() error {
				recovered, err := w.reg.Recover(ctx)
				if len(recovered) != 1 || tt.says != "" && (recovered[0].Err == nil || !strings.Contains(recovered[0].Err.Error(), tt.says)) {
					t.Errorf("Recover = %+v, want an error that says %q", recovered, tt.says)
				}
				return err
			}))
			if after := w.all(); !maps.Equal(before, after) {
				t.Errorf("it was\n%v\nand is\n%v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
		})
	}
}

// step returns a step of a move of a share in an environment.
func (w *fixture) step(kind, name, dir, from string, e be.Env) txn.Step {
	w.Helper()
	uuid := "11111111-2222-3333-4444-555555555555"
	if sub, err := w.store.Get("@share/" + name); err == nil {
		uuid = sub.UUID
	}
	return txn.Step{Kind: kind, Args: txn.Args{
		"share": name, "uuid": uuid, "from": from, "env": e.Subvolume.Path, "env-uuid": e.Subvolume.UUID, "path": dir,
	}}
}
