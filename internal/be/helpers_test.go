package be_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
)

var ctx = context.Background()

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// fixture is a fake machine that runs from @rootfs.
type fixture struct {
	*testing.T
	dir   string
	store *fake.Store
	reg   *be.Registry
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	st, err := fake.New(dir)
	check(t, err)
	w := &fixture{T: t, dir: dir, store: st}
	check(t, st.Create("@rootfs"))
	check(t, st.SetRunning("@rootfs"))
	w.write("@rootfs/title", "Debian 12")
	w.reg = w.open(st)
	return w
}

// open is what another process does.
func (w *fixture) open(st store.Store) *be.Registry {
	return be.NewRegistry(st, "/", func(root string) (be.Identity, error) {
		title, err := os.ReadFile(filepath.Join(root, "title"))
		return be.Identity{Title: string(title), Kernels: []be.Kernel{{Version: "6.1", Image: "/vmlinuz"}}}, err
	})
}

func (w *fixture) write(path, content string) {
	w.Helper()
	check(w.T, os.MkdirAll(filepath.Dir(w.store.Path(path)), 0o755))
	check(w.T, os.WriteFile(w.store.Path(path), []byte(content), 0o644))
}

func (w *fixture) list() []string {
	w.Helper()
	envs, err := w.reg.List()
	check(w.T, err)
	names := make([]string, len(envs))
	for i, e := range envs {
		names[i] = e.Name
	}
	slices.Sort(names)
	return names
}

func (w *fixture) checkList(want ...string) {
	w.Helper()
	if got := w.list(); !slices.Equal(got, want) {
		w.Errorf("there are %q, want %q", got, want)
	}
}

func (w *fixture) get(name string) be.Env {
	w.Helper()
	e, err := w.reg.Get(name)
	check(w.T, err)
	return e
}

func (w *fixture) begin(name string) *be.Build {
	w.Helper()
	build, recovered, err := w.reg.Begin(ctx, w.options(name))
	check(w.T, err)
	if len(recovered) > 0 {
		w.Errorf("Begin recovered %+v, want nothing", recovered)
	}
	return build
}

func (w *fixture) options(name string) be.BuildOptions {
	w.Helper()
	running, err := w.reg.Running()
	check(w.T, err)
	return be.BuildOptions{Name: name, Origin: running, CreatedBy: be.User, Command: []string{"apt-be", "create", name}}
}

func (w *fixture) create(name string) be.Env {
	w.Helper()
	e, err := w.begin(name).Commit(ctx, be.Ready, func(*be.Record) {})
	check(w.T, err)
	return e
}

// locked runs what wants its caller to hold the Lock.
func (w *fixture) locked(do func() error) error {
	w.Helper()
	release, err := w.reg.Lock(ctx)
	check(w.T, err)
	defer release()
	return do()
}

func (w *fixture) recover() int {
	w.Helper()
	settled := 0
	check(w.T, w.locked(func() error {
		recovered, err := w.reg.Recover(ctx)
		for _, r := range recovered {
			if r.Err != nil {
				w.Errorf("Recover of %s: %v", r.Title, r.Err)
			}
		}
		settled = len(recovered)
		return err
	}))
	return settled
}

// tree lists all files of the store with what they hold, and tells subvolumes
// by their UUIDs. Lock files are left out.
func (w *fixture) tree() []string {
	w.Helper()
	var tree []string
	top := w.store.Path(".")
	check(w.T, filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, _ := filepath.Rel(top, file)
		switch {
		case path == be.HomeDir+"/lock", strings.HasPrefix(path, be.HomeDir+"/use/"):
			return nil
		case entry.Type().IsRegular():
			content, err := os.ReadFile(file)
			tree = append(tree, path+" = "+string(content))
			return err
		}
		if sub, err := w.store.Get(path); err == nil {
			path += " " + sub.UUID
		}
		tree = append(tree, path)
		return nil
	}))
	return tree
}

// files lists a directory of the registry.
func (w *fixture) files(dir string) []string {
	w.Helper()
	entries, err := os.ReadDir(w.store.Path(be.HomeDir + "/" + dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// checkWhole checks that each environment has all that belongs to it, and
// that there is nothing that belongs to none.
func (w *fixture) checkWhole() {
	w.Helper()
	envs, err := w.reg.List()
	check(w.T, err)
	records, bases := map[string]bool{}, map[string]bool{}
	for _, e := range envs {
		records[e.Subvolume.UUID+".json"] = true
		if e.Record.UUID != e.Subvolume.UUID || e.Record.TargetName != "" || e.Record.State == be.Creating {
			w.Errorf("the record of %s is that of one that is not whole: %+v", e.Name, e.Record)
		}
		if e.Record.BaseUUID == "" {
			continue
		}
		base, err := w.reg.BaseOf(e)
		if err != nil || base.Path != be.BaseDir+"/"+e.Name || !base.ReadOnly || base.UUID != e.Record.BaseUUID {
			w.Errorf("the base of %s is %+v, %v", e.Name, base, err)
		}
		bases[base.Path] = true
	}
	for _, name := range w.files("be") {
		if !records[name] {
			w.Errorf("record %s belongs to nothing", name)
		}
	}
	for _, dir := range []string{"scratch", "use"} {
		for _, name := range w.files(dir) {
			if !records[name+".json"] {
				w.Errorf("%s/%s belongs to nothing", dir, name)
			}
		}
	}
	if journals := w.files("journal"); len(journals) > 0 {
		w.Errorf("there are journals: %q", journals)
	}
	for _, dir := range []string{be.EnvDir, be.BaseDir} {
		subvolumes, err := w.store.List(dir)
		check(w.T, err)
		for _, sub := range subvolumes {
			if strings.HasPrefix(filepath.Base(sub.Path), ".") || dir == be.BaseDir && !bases[sub.Path] {
				w.Errorf("subvolume %s belongs to nothing", sub.Path)
			}
		}
	}
}

func day(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
