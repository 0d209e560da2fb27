package btrfs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// TestFullDisk cancels a trial while GRUB's environment block is on a full btrfs: full
// of data, full of metadata, or up to a quota. Afterwards the loader does not boot the
// environment, and environments can be destroyed, which frees space.
func TestFullDisk(t *testing.T) {
	for _, of := range []string{"data", "metadata", "quota"} {
		for _, state := range []string{"wanted", "armed"} {
			t.Run(of+"/"+state, func(t *testing.T) { testFullDisk(t, of, state == "armed") })
		}
	}
}

func testFullDisk(t *testing.T, of string, armed bool) {
	ctx := context.Background()
	st, image := newStore(t, storeImageSize)
	for _, path := range []string{"@rootfs", "@grub"} {
		storeMust(t, st.Create(path))
	}
	storeMust(t, os.Mkdir(st.Path("@rootfs/boot"), 0o755))
	kernel := be.Kernel{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}
	for _, file := range []string{kernel.Image, kernel.Initrd} {
		storeMust(t, os.WriteFile(st.Path("@rootfs/"+file), make([]byte, 1<<20), 0o644))
	}
	root := t.TempDir()
	image.Mount(t, root, "subvol=/@rootfs")
	running, err := btrfs.Open(root)
	storeMust(t, err)
	t.Cleanup(func() { running.Close() })
	reg := be.NewRegistry(running, root, func(string) (be.Identity, error) {
		return be.Identity{Title: "Debian", Kernels: []be.Kernel{kernel}}, nil
	})
	dir := running.Path("@grub")
	loader := &grub.Loader{Dir: dir, Env: grub.Locate(grub.Place{Dir: dir, FSType: "btrfs", FSUUID: "1-2", Name: "/@grub"}, nil)}
	act := &activation.Activator{
		Registry: reg, Loader: loader, FSUUID: "1-2", Parameters: "quiet", Files: host.Files(running),
		EndsTrial: func(be.Env, string) (bool, error) { return true, nil },
	}
	reg.Loader = act.NextBoot
	get := func(name string) be.Env {
		t.Helper()
		e, err := reg.Get(name)
		storeMust(t, err)
		return e
	}
	for _, name := range []string{"new", "spare"} {
		build, _, err := reg.Begin(ctx, be.BuildOptions{Name: name, Origin: get("rootfs"), CreatedBy: be.Redirect})
		storeMust(t, err)
		storeMust(t, os.WriteFile(st.Path(build.Path+"/own"), make([]byte, 8<<20), 0o644))
		for i := range 1000 { // metadata of its own
			storeMust(t, os.Symlink(strings.Repeat("x", 4000), st.Path(fmt.Sprintf("%s/%d", build.Path, i))))
		}
		_, err = build.Commit(ctx, be.Ready, func(r *be.Record) { r.Kernels = []be.Kernel{kernel} })
		storeMust(t, err)
	}
	storeMust(t, act.SetDefault(get("rootfs")))
	arm := func() error {
		_, err := act.Arm(get("new"), activation.ArmOptions{Method: be.Reboot, Deadline: time.Minute, BootID: "1"})
		return err
	}
	storeMust(t, arm())
	if armed {
		storeMust(t, act.Confirm(get("new")))
	}
	wantState := func(want boot.State) {
		t.Helper()
		if state, err := loader.State(); err != nil || state != want {
			t.Errorf("GRUB has %+v (%v), want %+v", state, err, want)
		}
	}
	if armed {
		wantState(boot.State{Armed: get("new").Record.Trial.Nonce})
	}

	if of == "quota" {
		top := t.TempDir()
		image.Mount(t, top, "subvolid=5")
		btrfsMust(t, "quota", "enable", top)
		btrfsMust(t, "quota", "rescan", "-w", top)
		for _, path := range []string{"@grub", be.HomeDir} {
			btrfsMust(t, "qgroup", "limit", "16K", filepath.Join(top, path))
		}
	} else {
		fillUp(t, st.Path("filled"), of == "metadata")
	}
	if err := durable.WriteFile(st.Path("@apt-be/probe"), []byte("probe"), 0o644); !durable.Unwritable(err) {
		t.Fatalf("the disk is not full: %v", err)
	}
	storeMust(t, act.Postpone(get("new"), "there is no room"))
	wantState(boot.State{})
	if e := get("new"); !e.Armed || !activation.PassedOver(e, "2") {
		t.Error("the next shutdown would not try again")
	}
	if _, err := act.Boot("", "2"); err != nil {
		t.Errorf("as the machine comes up: %v", err)
	}
	storeMust(t, act.Disarm())
	wantState(boot.State{})
	if e := get("rootfs"); !e.Next {
		t.Error("the next boot would not take the running one")
	}
	if _, err := act.Boot("", "3"); err != nil {
		t.Errorf("as the machine comes up: %v", err)
	}
	if err := arm(); err == nil {
		t.Error("a trial was armed with no room")
	}
	wantState(boot.State{})
	if err := act.SetDefault(get("new")); err == nil {
		t.Error("the menu was written with no room")
	}
	if name, err := loader.Default(); err != nil || name != "rootfs" {
		t.Errorf("what boots is %q (%v)", name, err)
	}

	release, err := reg.Lock(ctx)
	storeMust(t, err)
	defer release()
	_, err = reg.Recover(ctx)
	storeMust(t, err)
	if err := be.CheckDestroy([]be.Env{get("rootfs"), get("new"), get("spare")}, "spare", func(be.Env) bool { return false }); err != nil {
		t.Error(err)
	}
	storeMust(t, reg.Destroy(ctx, get("spare")))
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	storeMust(t, running.WaitForDeletions(wait)) // the deletion has freed space
	if of == "quota" {
		btrfsMust(t, "quota", "disable", root)
	}
	storeMust(t, arm())
	storeMust(t, act.Confirm(get("new")))
	wantState(boot.State{Armed: get("new").Record.Trial.Nonce})
}

func btrfsMust(t *testing.T, args ...string) {
	t.Helper()
	if said, err := exec.Command("btrfs", args...).CombinedOutput(); err != nil {
		t.Fatalf("btrfs %q: %v\n%s", args, err, said)
	}
}

// fillUp fills a file system through a directory, with data and metadata.
func fillUp(t *testing.T, dir string, metadata bool) {
	t.Helper()
	storeMust(t, os.Mkdir(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, "data"))
	storeMust(t, err)
	defer f.Close()
	storeMust(t, unix.Syncfs(int(f.Fd())))
	at := int64(0)
	for size := int64(64 << 20); size >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		default:
			t.Fatal(err)
		}
	}
	storeMust(t, unix.Syncfs(int(f.Fd())))
	if !metadata {
		return
	}
	for _, length := range []int{4000, 500, 1} {
		for i := 0; ; i++ {
			err := os.Symlink(strings.Repeat("x", length), filepath.Join(dir, fmt.Sprintf("%d.%d", length, i)))
			if errors.Is(err, unix.ENOSPC) {
				break
			}
			storeMust(t, err)
		}
		unix.Sync()
	}
}
