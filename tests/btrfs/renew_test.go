package btrfs_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// TestRenewOfWhatRuns replaces the running environment by a copy, as early in a first
// boot. The running root keeps working, is not deleted while it runs, and is deleted
// when another one runs.
func TestRenewOfWhatRuns(t *testing.T) {
	ctx := context.Background()
	st, image := newStore(t, storeImageSize)
	storeMust(t, st.Create("@rootfs"))
	storeMust(t, st.Create("@rootfs/srv"))
	mount := func(subvolume string) *be.Registry {
		t.Helper()
		root := t.TempDir()
		image.Mount(t, root, "subvol=/"+subvolume)
		s, err := btrfs.Open(root)
		storeMust(t, err)
		t.Cleanup(func() { s.Close() })
		return be.NewRegistry(s, root, func(string) (be.Identity, error) { return be.Identity{}, nil })
	}
	old := mount("@rootfs")
	origin, err := old.Running()
	storeMust(t, err)
	build, _, err := old.Begin(ctx, be.BuildOptions{Name: "new", Origin: origin, CreatedBy: be.Redirect})
	storeMust(t, err)
	_, err = build.Commit(ctx, be.Ready, func(*be.Record) {})
	storeMust(t, err)

	reg := mount("@be/new")
	running, err := reg.Running()
	storeMust(t, err)
	if running.Name != "new" {
		t.Fatalf("what runs is %s", running.Name)
	}
	open, err := os.Create(filepath.Join(st.Path("@be/new"), "open"))
	storeMust(t, err)
	defer open.Close()
	storeMust(t, os.WriteFile(filepath.Join(st.Path("@rootfs"), "fresh"), []byte("x"), 0o644))
	build, _, err = reg.Renew(ctx, running, origin, nil)
	storeMust(t, err)
	storeMust(t, os.WriteFile(filepath.Join(st.Path(build.Path), "carried"), []byte("x"), 0o644))
	renewed, err := build.Replace(ctx, running, func(r *be.Record) { r.HoldReason = "edited" })
	storeMust(t, err)
	if renewed.Record.HoldReason != "edited" || renewed.Running || renewed.Subvolume.UUID == running.Subvolume.UUID {
		t.Errorf("what took its place is %+v", renewed)
	}
	if _, err := reg.Running(); err == nil {
		t.Error("what runs is an environment still")
	}
	exists := func(path string) bool {
		_, err := os.Lstat(st.Path(path))
		return err == nil
	}
	if !exists("@be/new/carried") || !exists("@be/new/srv") || !exists("@be-base/new/fresh") {
		t.Error("what was built is not in its place")
	}
	settle := func(reg *be.Registry) {
		t.Helper()
		release, err := reg.Lock(ctx)
		storeMust(t, err)
		defer release()
		recovered, err := reg.Recover(ctx)
		storeMust(t, err)
		if len(recovered) > 0 {
			t.Errorf("this was left to settle: %+v", recovered)
		}
	}
	settle(reg)
	garbage, err := st.List("@be")
	storeMust(t, err)
	if len(garbage) != 2 {
		t.Errorf("with what runs there are %+v", garbage)
	}
	if _, err := open.WriteString("it goes on"); err != nil {
		t.Errorf("what runs can't write any more: %v", err)
	}
	settle(mount("@be/new"))
	if left, err := st.List("@be"); err != nil || len(left) != 1 {
		t.Errorf("there are %+v, %v", left, err)
	}
}
