package fake_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
	"github.com/apt-be/apt-be/internal/store/storetest"
)

func open(t *testing.T) *fake.Store {
	t.Helper()
	s, err := fake.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
}

func TestStateSurvivesProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := fake.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Create("@be/a"); err != nil {
		t.Fatal(err)
	}
	want, err := first.Get("@be/a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := fake.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := second.Get("@be/a")
	if err != nil || got.UUID != want.UUID {
		t.Errorf("reopened store has UUID %q, %v, want %q", got.UUID, err, want.UUID)
	}
}

func TestSetRunning(t *testing.T) {
	s := open(t)
	if err := s.SetRunning("@rootfs"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("SetRunning of nothing = %v, want ErrNotFound", err)
	}
	if err := s.Create("@rootfs"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetRunning("@rootfs"); err != nil {
		t.Fatal(err)
	}
	if err := s.Rename("@rootfs", "@other"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Locate("/")
	if err != nil || got.Path != "@other" {
		t.Errorf("Locate(/) = %q, %v, want @other", got.Path, err)
	}
	if err := s.SetRunning(""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Locate("/"); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("Locate(/) with none running = %v, want ErrUnsupported", err)
	}
}

func TestSetBusy(t *testing.T) {
	s := open(t)
	if err := s.Create("@a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Create("@a/nested"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBusy("@a/nested", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("@a"); !errors.Is(err, store.ErrBusy) {
		t.Errorf("Delete = %v, want ErrBusy", err)
	}
	if err := s.SetBusy("@a/nested", false); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("@a"); err != nil {
		t.Error(err)
	}
}

func TestSnapshotCopiesAttributes(t *testing.T) {
	s := open(t)
	if err := s.Create("@a"); err != nil {
		t.Fatal(err)
	}
	dir := s.Path("@a/d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if name == "one" {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o640); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Link(filepath.Join(dir, "one"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot("@a", "@b", false); err != nil {
		t.Fatal(err)
	}
	one, err := os.Stat(s.Path("@b/d/one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.Stat(s.Path("@b/d/two"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(one, two) || one.Mode() != 0o640 {
		t.Errorf("copies are %v and %v, same file %v", one.Mode(), two.Mode(), os.SameFile(one, two))
	}
	if info, err := os.Stat(s.Path("@b/d")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("copied directory: %v, %v", info, err)
	}
	for _, p := range []string{"@a", "@b"} {
		if err := s.Delete(p); err != nil {
			t.Error(err)
		}
	}
}
