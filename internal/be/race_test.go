package be_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// raced is a store in which a user acts between the snapshots and the search for nested
// subvolumes.
type raced struct {
	store.Store
	meanwhile func()
}

func (r *raced) Nested(path string) ([]store.Subvolume, error) {
	r.meanwhile()
	return r.Store.Nested(path)
}

// The owner of a directory that contains a subvolume can rename files and create links
// while root snapshots the system.
func TestNestedSubvolumesMoveDuringSnapshot(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "passwd")
	for _, tt := range []struct {
		name   string
		before func(w *fixture, home string) // the content in the snapshot
	}{
		{"a link out of the root", func(w *fixture, home string) { check(w.T, os.Symlink(outside, home)) }},
		{"a link inside", func(w *fixture, home string) { check(w.T, os.Symlink("../etc", home)) }},
		{"nothing", func(*fixture, string) {}},
		{"a file", func(w *fixture, home string) { check(w.T, os.WriteFile(home, nil, 0o644)) }},
		{"a file in its place", func(w *fixture, home string) { w.write("@rootfs/home/user/passwd", "mine") }},
		{"a link in its place", func(w *fixture, home string) {
			check(w.T, os.Mkdir(home, 0o755))
			check(w.T, os.Symlink(victim, home+"/passwd"))
		}},
		{"a directory that is not empty", func(w *fixture, home string) { w.write("@rootfs/home/user/passwd/file", "mine") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t)
			check(t, os.WriteFile(victim, []byte("root"), 0o644))
			w.write("@rootfs/etc/passwd", "root")
			check(t, w.store.Create("@rootfs/var/lib/machines"))
			home := w.store.Path("@rootfs/home/user")
			check(t, os.MkdirAll(filepath.Dir(home), 0o755))
			tt.before(w, home)
			options := w.options("new")
			build, _, err := w.open(&raced{w.store, func() {
				check(t, os.RemoveAll(home))
				check(t, w.store.Create("@rootfs/home/user/passwd"))
			}}).Begin(ctx, options)
			check(t, err)
			if want := []string{"/home/user/passwd"}; !slices.Equal(build.Record.LeftOut, want) {
				t.Errorf("left out are %q, want %q", build.Record.LeftOut, want)
			}
			for _, file := range []string{victim, w.store.Path("@rootfs/etc/passwd"), w.store.Path(build.Path + "/etc/passwd")} {
				if content, err := os.ReadFile(file); err != nil || string(content) != "root" {
					t.Errorf("%s holds %q, %v", file, content, err)
				}
			}
			if _, err := w.store.Get(build.Path + "/var/lib/machines"); err != nil {
				t.Errorf("what did not move was not copied: %v", err)
			}
			check(t, build.Discard(ctx))
			w.checkList("rootfs")
		})
	}
}

// unreadable is a store on a disk that cannot read one subvolume.
type unreadable struct {
	store.Store
	path string
}

func (u *unreadable) Get(path string) (store.Subvolume, error) {
	if path == u.path {
		return store.Subvolume{}, syscall.EIO
	}
	return u.Store.Get(path)
}

// An unreadable subvolume exists: none of its files is garbage.
func TestRecoverOnBadDisk(t *testing.T) {
	w := newFixture(t)
	w.create("new")
	rootfs := w.get("rootfs")
	w.write(be.ScratchDir(rootfs.Subvolume.UUID)+"/0/file", "x")
	check(t, w.store.Create("@be/.new-garbage"))
	before := w.tree()
	reg := w.open(&unreadable{w.store, "@rootfs"})
	check(t, w.locked(func() error {
		recovered, err := reg.Recover(ctx)
		if len(recovered) != 1 || !errors.Is(recovered[0].Err, syscall.EIO) {
			t.Errorf("Recover = %+v, want the error of the disk", recovered)
		}
		return err
	}))
	after := w.tree()
	before = slices.DeleteFunc(before, func(line string) bool { return strings.HasPrefix(line, "@be/.new-garbage") })
	if !slices.Equal(after, before) {
		t.Errorf("there is %q, was %q", after, before)
	}
	if _, err := reg.List(); !errors.Is(err, syscall.EIO) {
		t.Errorf("List = %v, want the error of the disk", err)
	}
	if _, err := reg.Use(ctx, rootfs); !errors.Is(err, syscall.EIO) || errors.Is(err, be.ErrNotFound) {
		t.Errorf("Use = %v, want the error of the disk", err)
	}
}
