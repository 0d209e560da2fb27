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
	"github.com/apt-be/apt-be/internal/be/betest"
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

// fixture is a fake machine whose environments are identified by their titles.
type fixture struct {
	*betest.Machine
	dir   string
	store *fake.Store
	reg   *be.Registry
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	m := betest.New(t)
	m.Write("@rootfs/title", "Debian 12")
	w := &fixture{Machine: m, dir: m.Dir, store: m.Store}
	w.reg = w.open(m.Store)
	return w
}

// open opens the registry as another process.
func (w *fixture) open(st store.Store) *be.Registry {
	return be.NewRegistry(st, "/", func(root string) (be.Identity, error) {
		title, err := os.ReadFile(filepath.Join(root, "title"))
		return be.Identity{Title: string(title), Kernels: []be.Kernel{{Version: "6.1", Image: "/vmlinuz"}}}, err
	})
}

func (w *fixture) write(path, content string) {
	w.Helper()
	w.Write(path, content)
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
	return betest.Get(w.T, w.reg, name)
}

func (w *fixture) begin(name string) *be.Build {
	w.Helper()
	return betest.Begin(w.T, w.reg, w.options(name))
}

func (w *fixture) options(name string) be.BuildOptions {
	w.Helper()
	return betest.Options(w.T, w.reg, name)
}

func (w *fixture) create(name string) be.Env {
	w.Helper()
	return betest.Create(w.T, w.reg, name, func(*be.Record) {})
}

// locked calls do with the registry's lock.
func (w *fixture) locked(do func() error) error { return betest.Locked(w.reg, do) }

func (w *fixture) recover() int {
	w.Helper()
	return betest.Recover(w.T, w.reg)
}

// tree lists all files of the store with their contents, and subvolumes by their UUIDs.
// It leaves out lock files.
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

// checkWhole checks that each environment is complete, and that no other subvolumes and
// files exist.
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
