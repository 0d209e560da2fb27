package be_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
)

func unused(be.Env) bool { return false }

func (w *fixture) recordFile(e be.Env) string {
	return w.store.Path("@apt-be/be/" + e.Subvolume.UUID + ".json")
}

// replaceIn replaces a text in the record of an environment.
func replaceIn(old, new string) func(w *fixture, file string) {
	return func(w *fixture, file string) {
		data, err := os.ReadFile(file)
		check(w.T, err)
		if !strings.Contains(string(data), old) {
			w.Fatalf("there is no %q in %s", old, data)
		}
		check(w.T, os.WriteFile(file, []byte(strings.Replace(string(data), old, new, 1)), 0o644))
	}
}

// instead replaces a record by another kind of file.
func instead(put func(file string) error) func(w *fixture, file string) {
	return func(w *fixture, file string) {
		check(w.T, os.Remove(file))
		check(w.T, put(file))
	}
}

func content(text string) func(w *fixture, file string) {
	return func(w *fixture, file string) { check(w.T, os.WriteFile(file, []byte(text), 0o644)) }
}

// damages are the ways to damage a record, and the resulting messages.
var damages = []struct {
	name, says string
	newer      bool
	do         func(w *fixture, file string)
}{
	{"truncated", "unexpected end of JSON input", false, func(w *fixture, file string) { check(w.T, os.Truncate(file, 40)) }},
	{"empty", "empty file", false, content("")},
	{"zeros", "invalid character", false, content(strings.Repeat("\x00", 512))},
	{"not UTF-8", "not UTF-8", false, replaceIn("Debian 12", "Debian \xff\x9b")},
	{"newer schema", "schema 2 is written by a newer apt-be", true, content(`{"schema": 2, "state": 7}`)},
	{"no schema", "invalid schema 0", false, replaceIn(`"schema": 1`, `"schema": 0`)},
	{"null", "invalid uuid \"\"", false, content("null")},
	{"a list", "cannot unmarshal array", false, content("[]")},
	{"two values", "after top-level value", false, content("{} {}")},
	{"wrong type", "cannot unmarshal string", false, replaceIn(`"created": `, `"kept": "yes", "created": `)},
	{"no state", "invalid state \"frozen\"", false, replaceIn(`"state": "ready"`, `"state": "frozen"`)},
	{"bad UUID", "invalid uuid ", false, replaceIn(`"uuid": "`, `"uuid": "x`)},
	{"bad base", "invalid base_uuid ", false, replaceIn(`"base_uuid": "`, `"base_uuid": "../../`)},
	{"bad trial", "invalid trial's nonce ", false, replaceIn(`"created": `, `"trial": {"nonce": "../x", "method": "reboot"}, "created": `)},
	{"bad path", "invalid path ", false, replaceIn(`"created": `, `"path": "/", "created": `)},
	{"FIFO", "a FIFO", false, instead(func(file string) error { return unix.Mkfifo(file, 0o600) })},
	{"directory", "a directory", false, instead(func(file string) error { return os.MkdirAll(file+"/x", 0o700) })},
	{"symbolic link", "a symbolic link", false, instead(func(file string) error { return os.Symlink("/etc/passwd", file) })},
	{"huge", "too large", false, func(w *fixture, file string) { check(w.T, os.Truncate(file, 1<<40)) }},
}

// An unreadable record stops only commands that need it, and the subvolumes that it may
// name are kept.
func TestUnreadableRecords(t *testing.T) {
	for _, tt := range damages {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			e, other := w.create("bad"), w.create("other")
			check(t, w.store.Snapshot("@rootfs", "@share-past/mail.x", true))
			for _, uuid := range []string{e.Subvolume.UUID, other.Subvolume.UUID} {
				w.write(be.ScratchDir(uuid)+"/0/upper/file", "x")
			}
			tt.do(w, w.recordFile(e))
			before, err := os.Lstat(w.recordFile(e))
			check(t, err)

			bad, err := w.reg.Unreadable()
			check(t, err)
			if len(bad) != 1 || bad[0].Of != "bad" || !strings.Contains(bad[0].Error(), tt.says) ||
				!strings.Contains(bad[0].Error(), "@apt-be/be/"+e.Subvolume.UUID+".json: ") || bad[0].Remedy() == "" {
				t.Fatalf("Unreadable = %v, want one that says %q", bad, tt.says)
			}
			if errors.Is(w.reg.CheckReadable(), be.ErrNewerSchema) != tt.newer {
				t.Errorf("CheckReadable = %v", w.reg.CheckReadable())
			}
			got := w.get("bad")
			if got.Unreadable == nil || got.Record.State != be.Unreadable {
				t.Errorf("it is %+v", got)
			}

			// Other environments are created and destroyed completely.
			w.create("new")
			w.recover()
			check(t, w.locked(func() error { return w.reg.Destroy(ctx, w.get("other")) }))
			w.recover()
			w.checkList("bad", "new", "rootfs")
			if _, err := w.store.Get("@be-base/other"); err == nil {
				t.Error("the base of one that was destroyed is there")
			}
			if _, err := os.Lstat(w.recordFile(other)); err == nil {
				t.Error("the record of one that was destroyed is there")
			}
			// The files of the environment are unchanged.
			after, err := os.Lstat(w.recordFile(e))
			if err != nil || !os.SameFile(before, after) || before.Size() != after.Size() {
				t.Errorf("its record is %v, %v", after, err)
			}
			for _, path := range []string{"@be/bad", "@be-base/bad", "@share-past/mail.x"} {
				if _, err := w.store.Get(path); err != nil {
					t.Errorf("%s is gone: %v", path, err)
				}
			}
			if _, err := os.Lstat(w.store.Path(be.ScratchDir(e.Subvolume.UUID) + "/0/upper/file")); err != nil {
				t.Errorf("what it wrote is gone: %v", err)
			}
			// Operations that do not know the record do not change the environment.
			for what, err := range map[string]error{
				"Change": w.locked(func() error { return w.reg.Change(got, func(r *be.Record) { r.Kept = true }) }),
				"Rename": w.locked(func() error { return w.reg.Rename(ctx, got, "elsewhere") }),
				"Renew":  func() error { _, _, err := w.reg.Renew(ctx, got, w.get("rootfs"), nil); return err }(),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s = %v", what, err)
				}
			}
			envs, err := w.reg.List()
			check(t, err)
			checkIs(t, "CheckDestroy", be.CheckDestroy(envs, "bad", unused), be.ErrProtected)
			for _, fate := range be.Prune(envs, 0, unused) {
				if fate.Destroy {
					t.Errorf("Prune destroys %s", fate.Env.Name)
				}
			}
			// A user who accepts the risk destroys the environment completely.
			check(t, w.locked(func() error { return w.reg.Destroy(ctx, got) }))
			w.recover()
			w.checkList("new", "rootfs")
			if _, err := w.store.Get("@be-base/bad"); err == nil && !tt.newer && tt.name != "directory" {
				t.Error("its base is left")
			}
		})
	}
}

// Two records contain the same UUID: one of them has the wrong file name.
func TestTwoRecordsWithOneUUID(t *testing.T) {
	w := newFixture(t)
	a, b := w.create("a"), w.create("b")
	data, err := os.ReadFile(w.recordFile(a))
	check(t, err)
	check(t, os.WriteFile(w.recordFile(b), data, 0o644))
	if w.get("a").Unreadable != nil || w.get("b").Unreadable == nil {
		t.Error("a can't be read, or b can")
	}
	w.recover()
	w.checkList("a", "b", "rootfs")
	if _, err := w.store.Get("@be-base/b"); err != nil {
		t.Errorf("the base is gone: %v", err)
	}
}

// A record that contains another environment's path still belongs to its own subvolume.
func TestRecordWithPathOfRunning(t *testing.T) {
	w := newFixture(t)
	e := w.create("e")
	replaceIn(`"created": `, `"path": "@rootfs", "created": `)(w, w.recordFile(e))
	w.recover()
	w.checkList("e", "rootfs")
	if got := w.get("e"); got.Record.BaseUUID != e.Record.BaseUUID || got.Running {
		t.Errorf("it is %+v", got)
	}
	if _, err := w.store.Get("@be-base/e"); err != nil {
		t.Errorf("its base is gone: %v", err)
	}
}

// The installer's root is found although its record has no path.
func TestUnreadableRecordOfInstallers(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	rootfs := w.get("rootfs")
	check(t, w.store.SetRunning("@be/new"))
	content("{")(w, w.recordFile(rootfs))
	w.recover()
	w.checkList("new", "rootfs")
	if e := w.get("rootfs"); e.Unreadable == nil || e.Subvolume.Path != "@rootfs" {
		t.Errorf("it is %+v", e)
	}
}

// The unreadable record of the running environment is never overwritten.
func TestUnreadableRecordOfRunning(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	running := w.get("rootfs")
	content("{")(w, w.recordFile(running))
	check(t, w.locked(func() error { return w.reg.Note(w.get("rootfs")) }))
	w.create("newer")
	if data, err := os.ReadFile(w.recordFile(running)); string(data) != "{" {
		t.Errorf("its record is %q, %v", data, err)
	}
}

// The unreadable record of an interrupted build is garbage.
func TestUnreadableRecordOfInterruptedBuild(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	gone := w.begin("gone")
	check(t, gone.Discard(ctx))
	w.write("@apt-be/be/"+gone.Record.UUID+".json", "")
	w.write("@apt-be/be/notes.json", "not a record")
	w.recover()
	if names := strings.Join(w.files("be"), " "); strings.Contains(names, gone.Record.UUID) || !strings.Contains(names, "notes.json") {
		t.Errorf("there are %s", names)
	}
}

// Transactions and subvolumes of a newer apt-be are left alone.
func TestNewerSchemaIsLeftAlone(t *testing.T) {
	w := newFixture(t)
	e := w.create("new")
	w.begin("cut-off").LockFile().Close()
	check(t, w.store.Create("@be/.new-by-a-newer-one"))
	content(`{"schema": 2}`)(w, w.recordFile(e))
	before := strings.Join(w.tree(), "\n")
	w.recover()
	if after := strings.Join(w.tree(), "\n"); after != before {
		t.Errorf("something was changed: there is %s, was %s", after, before)
	}
}

func TestUnreadableBoot(t *testing.T) {
	for says, text := range map[string]string{
		"schema 9 is written by a newer": `{"schema": 9, "origin": []}`, "unexpected end": `{"sch`, "unexpected end of JSON": "", "invalid schema 0": "{}",
	} {
		w := newFixture(t)
		w.create("new")
		w.write("@apt-be/boot.json", text)
		_, err := w.reg.Boot()
		var bad *be.UnreadableError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "@apt-be/boot.json") {
			t.Errorf("Boot = %v, want one that says %q", err, says)
		}
		if !errors.As(w.reg.CheckReadable(), &bad) {
			t.Error("CheckReadable does not tell of it")
		}
		w.checkList("new", "rootfs")
		envs, err := w.reg.List()
		check(t, err)
		checkIs(t, "CheckDestroy", be.CheckDestroy(envs, "new", unused), be.ErrProtected)
		checkIs(t, "Rename", w.locked(func() error { return w.reg.Rename(ctx, w.get("new"), "newer") }), be.ErrProtected)
		w.create("newer")
	}
}

// While the boot loader is unreadable, no environment is destroyed, and all other
// operations work.
func TestUnreadableLoader(t *testing.T) {
	for what, set := range map[string]func(r *be.Registry){
		"its state":  func(r *be.Registry) { r.Loader = func() (string, string, error) { return "", "", errFault } },
		"any loader": func(r *be.Registry) { r.LoaderErr = errFault },
	} {
		w := newFixture(t)
		w.create("new")
		w.write("@apt-be/boot.json", `{"schema": 1, "loader": "grub", "origin": "@rootfs"}`)
		w.reg.Loader = func() (string, string, error) { return "rootfs", "", nil }
		if !w.get("rootfs").Next {
			t.Error("the loader is not asked")
		}
		if set(w.reg); what == "any loader" {
			w.reg.Loader = nil
		}
		envs, err := w.reg.List()
		check(t, err)
		for _, e := range envs {
			if e.DefaultErr != errFault || e.Next || e.Default || e.Armed {
				t.Errorf("without %s, %s is %+v", what, e.Name, e)
			}
		}
		checkIs(t, "CheckDestroy", be.CheckDestroy(envs, "new", unused), be.ErrProtected)
		checkIs(t, "CheckDestroy", be.CheckDestroy(envs, "new", unused), errFault)
		w.create("newer")
	}
}

// An unreadable journal protects its subvolumes, and stops no other operation.
func TestUnreadableJournal(t *testing.T) {
	w := newFixture(t)
	build := w.begin("cut-off")
	build.LockFile().Close()
	file := w.store.Path("@apt-be/journal/" + build.ID() + ".json")
	check(t, os.Remove(file))
	check(t, unix.Mkfifo(file, 0o600))
	w.recover()
	e := w.create("new")
	check(t, w.locked(func() error { return w.reg.Destroy(ctx, e) }))
	for _, path := range []string{build.Path, build.Base} {
		if _, err := w.store.Get(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
	err := w.reg.CheckReadable()
	if err == nil || !strings.Contains(err.Error(), "@apt-be/journal/"+filepath.Base(file)+": not a regular file but a FIFO") {
		t.Errorf("CheckReadable = %v", err)
	}
	check(t, os.Remove(file))
	w.recover()
	w.checkWhole()
}
