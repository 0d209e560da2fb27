package setup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

// cutOff does the first parts of the steps: done parts, or all if done is negative. It
// leaves the state of a power cut.
func cutOff(t *testing.T, i *Installer, steps []Step, done int) (kinds []string) {
	t.Helper()
	tx, err := i.journal().Begin("init")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		for _, part := range step.Parts {
			if done < 0 || len(kinds) < done {
				if err := tx.Do(context.Background(), part); err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, part.Kind)
			}
		}
	}
	tx.File().Close()
	return kinds
}

func plan(t *testing.T, f *fakeHost, i *Installer) []Step {
	t.Helper()
	steps, err := i.Plan(detect(t, f))
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// recoverAll recovers from a power cut.
func recoverAll(i *Installer) error {
	recovered, err := i.Recover(context.Background())
	for _, r := range recovered {
		err = errors.Join(err, r.Err)
	}
	return err
}

// While GRUB reads @grub, all its files stay.
func TestUndoStopsWhereItFails(t *testing.T) {
	f, i := newInstaller(t)
	before := f.tree(i)
	cutOff(t, i, plan(t, f, i), -1)
	f.fail = "unshare" // which makes GRUB read the old directory
	mounts := len(f.mounts)
	if err := recoverAll(i); err == nil {
		t.Fatal("it is undone")
	}
	if _, err := i.store().Get(be.GRUBDir); err != nil {
		t.Error(err)
	}
	if !f.Host.has(grubMenu) || len(f.mounts) != mounts {
		t.Error("the menu is gone, or not mounted")
	}
	f.fail = ""
	if err := recoverAll(i); err != nil {
		t.Fatal(err)
	}
	f.has("boot/grub/grub.cfg", "old menu")
	if after := f.tree(i); after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
}

// A command that needs the root's own /boot/grub does not run while that directory is
// hidden, nor in a directory below it.
func TestHidden(t *testing.T) {
	for _, test := range []struct {
		umount string
		want   string
	}{{"exit 0", "/\n"}, {"exit 32", ""}} {
		bin := t.TempDir()
		for name, script := range map[string]string{"mountpoint": "exit 0", "umount": test.umount} {
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		command := hidden("pwd")
		command = command[slices.Index(command, "sh"):]
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir, cmd.Env = bin, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		out, err := cmd.Output()
		if string(out) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("umount: %s: %q, %v", test.umount, out, err)
		}
	}
}

func TestPrepareRoot(t *testing.T) {
	ctx := context.Background()
	f, i := newInstaller(t)
	if err := i.Install(ctx, detect(t, f)); err != nil {
		t.Fatal(err)
	}
	// The command comes from another root.
	root := i.path("@be/older")
	f.write(root+"/etc/fstab", "UUID=9-9 / btrfs defaults 0 0\n")
	f.write(root+"/var/lib/dpkg/statoverride", "")
	f.write(root+"/etc/grub.d/10_linux", "")
	if err := os.Chmod(root+"/etc/grub.d/10_linux", 0o755); err != nil {
		t.Fatal(err)
	}
	m := detect(t, f)
	var first string
	for range 2 {
		if err := i.PrepareRoot(ctx, m, "@be/older"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(root + "/etc/fstab")
		if err != nil || !fstabOf(m).Has(string(text)) || first != "" && first != string(text) {
			t.Errorf("%v: fstab:\n%s", err, text)
		}
		first = string(text)
		if now, err := statOverride(root, "/etc/grub.d/10_linux"); err != nil || now != switchedOff {
			t.Errorf("%v: statoverride %q", err, now)
		}
		if info, err := os.Stat(root + "/etc/grub.d/10_linux"); err != nil || info.Mode() != 0o644 {
			t.Errorf("%v: mode %v", err, info.Mode())
		}
	}
}

func TestPrepareRootForSystemdBoot(t *testing.T) {
	_, i := newInstaller(t)
	m := Layout{Loader: be.LoaderSystemdBoot, FSUUID: "1-2", ESP: &Mount{Dir: "/efi"}}
	for range 2 {
		if err := i.PrepareRoot(context.Background(), m, "@be/older"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(i.path("@be/older/" + installConf))
		if err != nil || strings.Count(string(text), "layout=other") != 1 {
			t.Errorf("%v:\n%s", err, text)
		}
	}
}

// The record of init is written again from its steps. A missing record does not count
// as an undo.
func TestMend(t *testing.T) {
	f, i := newInstaller(t)
	if err := i.Install(context.Background(), detect(t, f)); err != nil {
		t.Fatal(err)
	}
	want, err := i.Registry.Boot()
	if err != nil {
		t.Fatal(err)
	}
	f.write(i.path("@apt-be/boot.json"), "{")
	if bad, err := i.Unreadable(); err != nil || len(bad) > 0 {
		t.Errorf("Unreadable = %v, %v", bad, err)
	}
	if err := i.Mend(); err != nil {
		t.Fatal(err)
	}
	if got, err := i.Registry.Boot(); err != nil || got != want {
		t.Errorf("Boot = %+v, %v, want %+v", got, err, want)
	}
	// Without steps, no record is invented.
	f.write(i.path("@apt-be/boot.json"), "{")
	f.write(i.path("@apt-be/setup.json"), "null")
	if err := i.Mend(); err == nil || !strings.Contains(err.Error(), "@apt-be/setup.json: it does not name a boot loader") {
		t.Errorf("Mend = %v", err)
	}
	if bad, err := i.Unreadable(); err != nil || len(bad) != 1 || !strings.Contains(bad[0].Remedy(), "restore @apt-be/setup.json") {
		t.Errorf("Unreadable = %v, %v", bad, err)
	}
}
