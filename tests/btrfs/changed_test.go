package btrfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// TestChanged makes one change of each kind after a snapshot, beside thousands of
// unchanged files, and checks that the store finds the changes.
func TestChanged(t *testing.T) {
	s, _ := newStore(t, 512<<20)
	storeMust(t, s.Create("root"))
	fillRoot(t, s)
	storeMust(t, s.Snapshot("root", "base", true))
	base, err := s.Get("base")
	storeMust(t, err)
	if got, err := s.Changed("root", base.OTransID); err != nil || len(got) > 0 {
		t.Fatalf("nothing was changed yet, and there are %q, %v", got, err)
	}
	want := changeRoot(t, s)
	storeMust(t, s.Sync())
	got, err := s.Changed("root", base.OTransID)
	storeMust(t, err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("changed are\n%q, want\n%q", got, want)
	}
	if got, err := s.Changed("base", base.OTransID); err != nil || len(got) > 0 {
		t.Errorf("in the snapshot itself changed %q, %v", got, err)
	}
}

func fillRoot(t testing.TB, s *btrfs.Store) {
	t.Helper()
	for i := range 40 {
		dir := s.Path(fmt.Sprintf("root/d%d", i))
		storeMust(t, os.Mkdir(dir, 0o755))
		for j := range 100 {
			storeMust(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", j)), []byte{byte(j)}, 0o644))
		}
	}
	storeMust(t, os.Link(s.Path("root/d30/f1"), s.Path("root/d31/linked")))
}

// changeRoot makes the changes and returns their paths.
func changeRoot(t testing.TB, s *btrfs.Store) []string {
	t.Helper()
	path := func(name string) string { return s.Path("root/" + name) }
	storeMust(t, os.WriteFile(path("d1/f1"), []byte("changed"), 0o644))
	storeMust(t, os.Chmod(path("d2/f2"), 0o600))
	storeMust(t, os.Chmod(path("d3"), 0o700))
	storeMust(t, unix.Setxattr(path("d4/f4"), "user.x", []byte("1"), 0))
	storeMust(t, os.WriteFile(path("d5/new\nname"), nil, 0o644))
	storeMust(t, os.Mkdir(path("d6/new"), 0o755))
	storeMust(t, os.Symlink("x", path("d7/link")))
	storeMust(t, os.Remove(path("d8/f8")))
	storeMust(t, os.Rename(path("d9/f9"), path("d10/renamed")))
	storeMust(t, os.WriteFile(path("d30/f1"), []byte("both names"), 0o644))
	storeMust(t, os.WriteFile(path("top"), nil, 0o644))
	storeMust(t, s.Create("root/d11/nested"))
	storeMust(t, os.WriteFile(path("d11/nested/inside"), nil, 0o644))
	return []string{
		"d1/f1", "d2/f2", "d3", "d4/f4", "d5", "d5/new\nname", "d6", "d6/new", "d7", "d7/link",
		"d8", "d9", "d10", "d10/renamed", "d30/f1", "d31/linked", ".", "top", "d11",
	}
}

// TestChangedHasAllNames changes a file with more names than one item of the file
// system contains, and a file in a deep directory.
func TestChangedHasAllNames(t *testing.T) {
	s, _ := newStore(t, 512<<20)
	storeMust(t, s.Create("root"))
	file := s.Path("root/file")
	storeMust(t, os.WriteFile(file, nil, 0o644))
	want := []string{"file"}
	storeMust(t, os.Mkdir(s.Path("root/d"), 0o755))
	for i := range 2000 {
		name := fmt.Sprintf("d/a name that is not so short %d", i)
		storeMust(t, os.Link(file, s.Path("root/"+name)))
		want = append(want, name)
	}
	storeMust(t, s.Snapshot("root", "base", true))
	base, err := s.Get("base")
	storeMust(t, err)
	storeMust(t, os.WriteFile(file, []byte("changed"), 0o644))
	storeMust(t, s.Sync())
	got, err := s.Changed("root", base.OTransID)
	storeMust(t, err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %d names, want %d", len(got), len(want))
	}
}
