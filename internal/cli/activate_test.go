package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
)

// copied is what the loader's partition has of an environment's kernel.
func (f *fixture) copied(name, kernel string) string {
	f.Helper()
	content, err := os.ReadFile(filepath.Join(f.root, "efi/apt-be/apt-be-"+name, kernel))
	if err != nil {
		f.Error(err)
	}
	return string(content)
}

// Being in the boot menu is no state: the one that an environment had is
// there again when it is out of it.
func TestActivateKeepsTheState(t *testing.T) {
	for _, state := range []be.State{be.Ready, be.Blessed, be.FailedBack} {
		f := newFixture(t)
		f.run(0, "create", "new")
		f.change("new", func(r *be.Record) { r.State = state })
		f.run(0, "activate", "new")
		if e := f.get("new"); e.Record.State != state || !e.Record.Armed || e.ShownState() != be.Armed {
			t.Errorf("activated, it is %+v, want %s and armed", e.Record, state)
		}
		f.run(12, "destroy", "new")
		f.run(12, "rename", "new", "newer")
		f.run(0, "deactivate", "new")
		if e := f.get("new"); e.Record.State != state || e.Record.Armed {
			t.Errorf("deactivated, it is %+v, want %s", e.Record, state)
		}
		f.run(0, "destroy", "new")
	}
}

// A user's own environment doesn't become stale when packages change.
func TestOneOfAUserIsNotStale(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "mine")
	f.run(0, "activate", "mine")
	f.write("@rootfs/var/lib/dpkg/status", status("a", "2"))
	stale := func() []string {
		names, left, err := f.app.makeStale(f.registry())
		if must(t, err); left {
			t.Error("something is pending")
		}
		return names
	}
	if names := stale(); len(names) > 0 {
		t.Errorf("stale are %q", names)
	}
	if e := f.get("mine"); e.Record.State != be.Ready || !e.Record.Armed {
		t.Errorf("it is %+v, want ready and armed", e.Record)
	}
	f.run(0, "activate", "mine")

	f.change("mine", func(r *be.Record) { r.Made = be.Redirect })
	if names := stale(); !slices.Equal(names, []string{"mine"}) {
		t.Errorf("stale are %q, want the upgraded one", names)
	}
	if e := f.get("mine"); e.Record.State != be.Stale || e.Record.Armed {
		t.Errorf("an upgraded one is %+v, want it stale and out of the menu", e.Record)
	}
	f.run(12, "activate", "mine")
}

// What is booted is what is there by now, and not what the record has.
func TestActivateLooksAgain(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	f.run(0, "create", "other")
	must(t, os.Remove(f.store.Path("@be/new/boot/vmlinuz-6.1.0")))
	f.write("@be/new/boot/vmlinuz-6.12.0", "new kernel")
	f.run(0, "activate", "new")
	if got := f.copied("new", "vmlinuz-6.12.0"); got != "new kernel" {
		t.Errorf("the kernel in the menu is %q", got)
	}
	if kernels := f.get("new").Record.Kernels; len(kernels) != 1 || kernels[0].Version != "6.12.0" {
		t.Errorf("the record has kernels %v", kernels)
	}
	// One in the menu that lost its kernels since doesn't keep others out.
	must(t, os.RemoveAll(f.store.Path("@be/new/boot")))
	f.run(0, "activate", "other")
	if got := f.copied("other", "vmlinuz-6.1.0"); got != "old kernel" {
		t.Errorf("the kernel in the menu is %q", got)
	}
	f.run(12, "activate", "new")
}

// The links of an environment lead into it, not into the running system.
func TestFilesOfStayInside(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	secret := filepath.Join(f.root, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	for link, target := range map[string]string{"absolute": secret, "up": "../../../../../../../.." + secret, "inside": "/boot/vmlinuz-6.1.0"} {
		must(t, os.Symlink(target, f.store.Path("@be/new/boot/"+link)))
	}
	files := filesOf(f.store, []boot.Entry{{Subvolume: "@be/new"}})
	for file, want := range map[string]string{
		"/@be/new/boot/vmlinuz-6.1.0": "old kernel", "/@be/new/boot/inside": "old kernel",
		"/@be/new/boot/absolute": "", "/@be/new/boot/up": "", "/@be/newer/boot/x": "", "/@rootfs/boot/vmlinuz-6.1.0": "",
	} {
		in, err := files(file)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v, want it not to be there", file, err)
			}
			continue
		}
		must(t, err)
		content, err := io.ReadAll(in)
		if in.Close(); err != nil || string(content) != want {
			t.Errorf("%s holds %q, %v, want %q", file, content, err, want)
		}
	}
}
