package be_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// bytes returns a text of n bytes that differs from the texts of all other kinds.
func bytes(kind string, n int) string { return kind + strings.Repeat(".", n-len(kind)) }

// made builds an environment with one new file.
func (w *fixture) made(name, content string) be.Env {
	w.Helper()
	e, err := w.reg.Running()
	check(w.T, err)
	build, _, err := w.reg.Begin(ctx, be.BuildOptions{Name: name, Origin: e, CreatedBy: be.User})
	check(w.T, err)
	w.write(build.Path+"/new", content)
	_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
	check(w.T, err)
	e, err = w.reg.Get(name)
	check(w.T, err)
	return e
}

func TestSpace(t *testing.T) {
	w := newFixture(t)
	w.write("@rootfs/deleted", bytes("deleted", 1000))
	w.write("@rootfs/kept", bytes("kept", 500))
	a := w.made("a", bytes("a", 100))
	check(t, os.Remove(w.store.Path("@rootfs/deleted")))
	check(t, w.store.Create("@be/a/var/nested"))
	w.write("@be/a/var/nested/file", bytes("nested", 20))
	w.write(be.ScratchDir(a.Subvolume.UUID)+"/0/file", bytes("scratch", 7))
	w.write(be.FailedDir(a.Subvolume.UUID)+"/journal.txt", bytes("journal", 8))
	b := w.made("b", bytes("b", 3))
	w.write("@be/b/too", bytes("nested", 20)) // the same content as the other one's
	running, err := w.reg.Running()
	check(t, err)

	envs, err := w.reg.List()
	check(t, err)
	space, err := w.reg.Space(envs)
	check(t, err)
	for _, tt := range []struct {
		name string
		envs []be.Env
		want uint64
	}{
		{"nothing", nil, 0},
		{"one, its base, and what is kept for it", []be.Env{a}, 1100 + 15},
		{"the other one", []be.Env{b}, 3},
		{"the running one", []be.Env{running}, 0},
		{"both, with what only they have", []be.Env{a, b}, 1100 + 15 + 3 + 20},
		{"one, named twice", []be.Env{a, a}, 1100 + 15},
		{"one that was not there", []be.Env{{Name: "new"}}, 0},
	} {
		if got := space.Freed(tt.envs...); got != tt.want {
			t.Errorf("%s: %d bytes are freed, want %d", tt.name, got, tt.want)
		}
	}

	// Destroying it frees exactly that.
	before := filesOf(t, w.store.Path("."))
	checkIs(t, "Destroy", w.reg.Destroy(ctx, a), be.ErrProtected)
	check(t, w.reg.DestroyWithNested(ctx, a))
	if _, ok := before[filepath.Join(w.store.Path(be.ScratchDir(a.Subvolume.UUID)), "0/file")]; !ok {
		t.Error("there was no scratch")
	}
	for file := range filesOf(t, w.store.Path(".")) {
		if strings.Contains(file, a.Subvolume.UUID) {
			t.Errorf("%s is left, and was counted as freed", file)
		}
	}
}

func TestSpaceWithoutAccounting(t *testing.T) {
	w := newFixture(t)
	reg := w.open(struct{ store.Store }{w.store})
	_, err := reg.Space(nil)
	checkIs(t, "Space", err, be.ErrNoAccounting)
}

// filesOf returns the sizes of all files below dir, by name.
func filesOf(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	check(t, filepath.Walk(dir, func(file string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sizes[file] = info.Size()
		}
		return err
	}))
	return sizes
}
