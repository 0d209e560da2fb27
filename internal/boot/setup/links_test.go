package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/txn"
)

// Links of an environment are resolved within the environment.
func TestLinksStayInside(t *testing.T) {
	ctx := context.Background()
	f, i := newInstaller(t)
	root, outside := i.path("@be/older"), t.TempDir()
	f.write(outside+"/grub.d/10_linux", "")
	f.write(outside+"/boot/initrd.img", "")
	f.write(outside+"/dpkg/statoverride", "")
	f.write(outside+"/fstab", "UUID=1-2 "+HomeMount+" btrfs subvol="+be.HomeDir+",nosuid,nodev,nofail 0 0\n")
	f.lacks("../@be/older/etc/fstab")
	f.link(outside+"/kernel", root+"/etc/kernel")
	f.link(outside+"/grub.d", root+"/etc/grub.d")
	f.link(outside+"/fstab", root+"/etc/fstab")
	f.link(outside+"/boot", root+"/boot")
	f.link(outside+"/dpkg", root+"/var/lib/dpkg")
	if err := os.Mkdir(outside+"/kernel", 0o755); err != nil {
		t.Fatal(err)
	}
	before := listing(t, outside)

	if err := i.setLayout(ctx, txn.Args{"subvolume": "@be/older"}); err == nil {
		t.Error("the layout was set through a link to nowhere")
	}
	script := Override{Path: "/etc/grub.d/10_linux", Mode: "0755"}.step("@be/older").Args
	if err := i.override(ctx, script); err != nil {
		t.Error(err)
	}
	// The script exists, but dpkg's database is elsewhere.
	f.lacks("../@be/older/etc/grub.d")
	f.write(root+"/etc/grub.d/10_linux", "")
	if err := i.override(ctx, script); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a database that is not in there: %v", err)
	}
	e := be.Env{Name: "older"}
	e.Subvolume.Path = "@be/older"
	ready, err := i.InitrdReady(ctx, e, be.Kernel{Version: "6.1", Initrd: "boot/initrd.img"})
	if !errors.Is(err, fs.ErrNotExist) || ready {
		t.Errorf("an initrd that is not in there: %v, %v", ready, err)
	}
	if err := i.Registry.SetBoot(&be.Boot{Schema: be.BootSchema, Loader: be.LoaderSystemdBoot}); err != nil {
		t.Fatal(err)
	}
	m := Layout{Loader: be.LoaderSystemdBoot, FSUUID: "1-2"}
	if found := i.checkFstab(m, e); found.Grade == OK {
		t.Errorf("an fstab that is not in there: %+v", found)
	}
	if after := listing(t, outside); after != before {
		t.Errorf("what is outside is\n%swas\n%s", after, before)
	}
}

// A link to a place in the environment is followed.
func TestLinksInside(t *testing.T) {
	f, i := newInstaller(t)
	root := i.path("@be/older")
	f.write(root+"/usr/share/grub.d/10_linux", "")
	f.write(root+"/usr/share/dpkg/statoverride", "")
	f.link("/usr/share/grub.d", root+"/etc/grub.d")
	f.link("/usr/share/dpkg", root+"/var/lib/dpkg")
	if err := os.Chmod(root+"/usr/share/grub.d/10_linux", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := i.override(context.Background(), Override{Path: "/etc/grub.d/10_linux", Mode: "0755"}.step("@be/older").Args); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(root + "/usr/share/grub.d/10_linux"); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v: %v", err, info)
	}
	if all := strings.Join(f.ran, "\n"); !strings.Contains(all, "--add root root 644 /etc/grub.d/10_linux") {
		t.Errorf("what ran: %s", all)
	}
}

// listing returns all files of a directory with modes and sizes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && !entry.IsDir() {
			out.WriteString(fs.FormatFileInfo(info) + "\n")
		} else {
			out.WriteString(file + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestUnits(t *testing.T) {
	f, i := newInstaller(t)
	for _, unit := range units {
		f.has("usr/lib/systemd/system/"+unit, "[Unit]\n")
	}
	if found := i.checkUnits(); found.Grade != OK {
		t.Errorf("%+v", found)
	}
	f.has("run/systemd/system/"+units[0], "") // the next one hides it
	f.has("etc/systemd/system/"+units[0], "[Unit]\n")
	if found := i.checkUnits(); found.Grade != OK {
		t.Errorf("%+v", found)
	}
	for _, unit := range []string{"apt-be-health.target", "apt-be-emergency.service"} {
		for _, dir := range []string{"etc", "run"} {
			f.link("/dev/null", filepath.Join(f.Root, dir, "systemd/system", unit))
			if found := i.checkUnits(); found.Grade != Problem || !strings.Contains(found.Text, unit+" is masked") {
				t.Errorf("%s masked in %s: %+v", unit, dir, found)
			}
			f.lacks(filepath.Join(dir, "systemd/system", unit))
		}
		f.lacks("usr/lib/systemd/system/" + unit)
		if found := i.checkUnits(); found.Grade != Problem || !strings.Contains(found.Text, unit+" is missing") {
			t.Errorf("%s missing: %+v", unit, found)
		}
		f.has("usr/lib/systemd/system/"+unit, "[Unit]\n")
	}
}
