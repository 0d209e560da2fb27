package setup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/txn"
)

// inBounds returns arguments of each kind, as plans contain them.
func inBounds(id string) map[string]txn.Args {
	boot := txn.Args{"source": "/dev/disk/by-uuid/3-4", "type": "ext4", "subvolume": "@rootfs", "esp": "/boot/efi", "esp-source": "/dev/sda1"}
	env := txn.Args{"subvolume": "@be/older"}
	note := txn.Args{"boot": `{"schema":1,"loader":"grub","origin":"@rootfs","kernel_dir":"/boot/grub"}`}
	return map[string]txn.Args{
		stepInitramfs: {}, stepGRUBDir: env, stepCopyBoot: boot, stepSwitchBoot: boot, stepLeaveBoot: boot, stepFillBoot: boot,
		stepFstab:    {"subvolume": "@rootfs", "fstab": `{"lines":["UUID=1-2 /var/lib/apt-be btrfs subvol=@apt-be,nosuid,nodev,nofail 0 0"],"replaced":["/boot"]}`},
		stepMount:    {"dir": "/boot/grub", "subvolume": "@grub"},
		stepOverride: {"subvolume": "@rootfs", "path": "/etc/grub.d/10_linux", "old": "root adm 750", "mode": "0755"},
		stepLayout:   env, stepBoot: note, stepForget: note,
		stepMenu: {"default": "2026-11-20", "previous": "debian.conf"}, stepGRUBConfig: env,
		stepGRUBInstall:  {"commands": `[["grub-install","--target=x86_64-efi","--removable","--efi-directory=/efi","--no-nvram"],["grub-install","--target=i386-pc","/dev/disk/by-id/x"]]`},
		stepStockEntries: {"esp": "/efi"},
		stepDone:         {"id": id, "done": `{"schema":1,"id":"` + id + `","machine":{"loader":"grub"}}`},
		stepPlainDir:     env, stepPlainConfig: {"hidden": "yes"},
	}
}

// TestBounds sets each argument of each kind to a value that it must not have.
func TestBounds(t *testing.T) {
	_, i := newInstaller(t)
	noEnv := []string{"", "/", "/etc", "..", "@rootfs/..", "@be", "@be/.new-x", "@be-base/older", "@apt-be", "@apt-be/be", "@grub", "@share/x", "@share-past/x"}
	noESP := []string{"/", "/etc", "efi", "/efi/..", "/boot/efi/"}
	noDevice := []string{"", "sda1", "/etc/passwd", "/dev/../etc/passwd", "-o", "/dev//sda"}
	note := func(old, new string) string { return strings.Replace(inBounds("")[stepBoot]["boot"], old, new, 1) }
	bad := map[string]map[string][]string{
		stepFstab: {"fstab": {
			"", `{"lines":["UUID=1-2 /etc btrfs subvol=x 0 0"]}`, `{"lines":["/dev/sda1 /boot/grub ext4 defaults 0 0"]}`,
			`{"lines":["UUID=1-2 /boot/grub ext4 defaults 0 0\n/dev/sda1 / ext4 defaults 0 0"]}`, `{"lines":["x"]}`, `{"replaced":["/"]}`,
		}},
		stepMount:    {"dir": {"", "/", "/etc", "/boot", "/var/lib/apt-be", "/boot/grub/.."}, "subvolume": {"", "@rootfs", "@apt-be"}},
		stepOverride: {"path": {"", "/etc/passwd", "/etc/grub.d/../passwd", "/etc/grub.d/00_header", "10_linux"}, "old": {"x", "--root root 755", "root root 755 x", "a b c"}, "mode": {"", "755", "4755", "07777", "x"}},
		stepMenu:     {"default": {"", "a/b", "a\nb"}, "previous": {"a\nb", "a\x00"}},
		stepGRUBInstall: {"commands": {
			"", `[["sh","-c","id"]]`, `[["grub-install"]]`, `[["grub-install","--target=x;y","/dev/a"]]`, `[["grub-install","--target=i386-pc","--boot-directory=/tmp"]]`,
			`[["grub-install","--target=i386-pc","/tmp/x"]]`, `[["grub-install","--target=x86_64-efi","--efi-directory=/etc"]]`, `[["grub-install","--target=i386-pc","/dev/a"],["id","x"]]`,
		}},
		stepBoot: {"boot": {"", "{}", note("grub", "lilo"), note("@rootfs", "/etc"), note("@rootfs", "@apt-be"), note("/boot/grub", "/etc"), note(`"schema":1`, `"schema":2`)}},
		stepDone: {"id": {"", "x"}, "done": {"", "{}", `{"schema":1,"id":"x","machine":{"loader":"grub"}}`}},
	}
	bad[stepForget] = bad[stepBoot]
	for _, kind := range []string{stepGRUBDir, stepFstab, stepOverride, stepLayout, stepGRUBConfig, stepPlainDir} {
		if bad[kind] == nil {
			bad[kind] = map[string][]string{}
		}
		bad[kind]["subvolume"] = noEnv
	}
	for _, kind := range []string{stepCopyBoot, stepSwitchBoot, stepLeaveBoot, stepFillBoot} {
		bad[kind] = map[string][]string{
			"subvolume": noEnv, "source": noDevice, "esp-source": noDevice, "esp": append(noESP, "/efi"), "type": {"", "-o", "ext4,suid", "a b"},
		}
	}
	bad[stepStockEntries] = map[string][]string{"esp": append(noESP, "")}
	bad[stepPlainConfig] = map[string][]string{"hidden": {"no", "; id"}}
	handlers := i.handlers()
	for kind, handler := range handlers {
		of := strings.TrimPrefix(kind, takeBack)
		good, ok := inBounds("feed")[of]
		if !ok || handler.Check == nil || len(good) > 0 && bad[of] == nil {
			t.Errorf("step %s has no bounds, or none that are tried", kind)
			continue
		}
		if err := handler.Check("feed", good); err != nil {
			t.Errorf("step %s of %v: %v", kind, good, err)
		}
		tries := maps.Clone(bad[of])
		if tries == nil {
			tries = map[string][]string{}
		}
		tries["extra"] = []string{"x"}
		for key, values := range tries {
			for _, value := range values {
				args := maps.Clone(good)
				args[key] = value
				var bounds *txn.BoundsError
				if err := handler.Check("feed", args); !errors.As(err, &bounds) {
					t.Errorf("step %s with the %s %q: %v", kind, key, value, err)
				}
			}
		}
	}
}

// forge leaves the journal of an interrupted transaction with one step and a right
// checksum.
func forge(t *testing.T, i *Installer, kind string, args txn.Args) (file string) {
	t.Helper()
	tx, err := i.journal().Begin("a test")
	if err != nil {
		t.Fatal(err)
	}
	tx.File().Close()
	file = i.path(journalDir + "/" + tx.ID + ".json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	last, err := hex.DecodeString(string(text[len(text)-1-2*sha256.Size : len(text)-1]))
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{"step": txn.Step{Kind: kind, Args: args}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(last, line...))
	line = append(line, " "+hex.EncodeToString(sum[:])+"\n"...)
	if err := os.WriteFile(file, append(text, line...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestForgedJournal forges a step with a forbidden argument: its journal is left alone.
func TestForgedJournal(t *testing.T) {
	f, i := newInstaller(t)
	ran := len(f.ran)
	before := f.tree(i)
	forge(t, i, takeBack+stepGRUBInstall, txn.Args{"commands": `[["sh","-c","id"]]`})
	if err := recoverAll(i); err != nil {
		t.Error(err)
	}
	bad, err := i.Unreadable()
	if err != nil || len(bad) != 1 || !strings.Contains(bad[0].Error(), `the argument "sh -c id" of the step take-back-grub-install is not a command of grub-install`) {
		t.Errorf("Unreadable = %v, %v", bad, err)
	}
	if after := f.tree(i); after != before || len(f.ran) != ran {
		t.Errorf("not as it was:\n%s\nbefore:\n%s\nran %q", after, before, f.ran[ran:])
	}
}

// TestForgedJournalOfPreparedMachine forges steps whose arguments are within bounds,
// on a machine that was prepared long ago, or never.
func TestForgedJournalOfPreparedMachine(t *testing.T) {
	for _, prepared := range []bool{true, false} {
		f, i := newInstaller(t)
		kinds := []string{takeBack + stepFstab, takeBack + stepMount, takeBack + stepOverride, takeBack + stepLayout, takeBack + stepMenu, takeBack + stepGRUBInstall, takeBack + stepStockEntries, stepFillBoot, stepLeaveBoot}
		says := "the machine is not set up"
		if prepared {
			if err := i.Install(context.Background(), detect(t, f)); err != nil {
				t.Fatal(err)
			}
			kinds = []string{stepGRUBDir, stepCopyBoot, stepFstab, stepMount, stepSwitchBoot, stepOverride, stepLayout, stepBoot, stepMenu, stepGRUBConfig, stepGRUBInstall, stepStockEntries}
			says = "the machine is set up"
		}
		for _, kind := range kinds {
			before, ran := f.tree(i), len(f.ran)
			args := inBounds("")[strings.TrimPrefix(kind, takeBack)]
			file := forge(t, i, kind, args)
			if err := recoverAll(i); !errors.Is(err, be.ErrProtected) || !strings.Contains(err.Error(), says) {
				t.Errorf("step %s of a machine that is prepared: %v: Recover = %v, want %q", kind, prepared, err, says)
			}
			if after := f.tree(i); after != before || len(f.ran) != ran {
				t.Errorf("step %s: not as it was:\n%s\nbefore:\n%s\nran %q", kind, after, before, f.ran[ran:])
			}
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		}
	}
}

// A mount of /boot/grub by the next boot's fstab is removed, too.
func TestUndoWithMountedGRUBDir(t *testing.T) {
	f, i := newInstaller(t)
	before := f.tree(i)
	steps := plan(t, f, i)
	at := slices.IndexFunc(steps, func(s Step) bool {
		return slices.ContainsFunc(s.Parts, func(p txn.Step) bool { return p.Kind == stepMount })
	})
	cutOff(t, i, steps[:at], -1)
	if err := i.mount(context.Background(), txn.Args{"dir": "/boot/grub", "subvolume": be.GRUBDir}); err != nil {
		t.Fatal(err)
	}
	if err := recoverAll(i); err != nil {
		t.Fatal(err)
	}
	if after := f.tree(i); after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
}

// A /boot that is a symbolic link is not followed.
func TestOwnBootRefusesLink(t *testing.T) {
	f, i := newInstaller(t)
	outside := t.TempDir()
	f.write(outside+"/vmlinuz-6.1", "x")
	f.lacks("boot")
	f.link(outside, i.path("@rootfs/boot"))
	f.mount("boot", "vda2", "ext4", "/")
	if err := i.clearBelow("@rootfs"); err == nil || !isFile(outside+"/vmlinuz-6.1") {
		t.Errorf("clearBelow = %v", err)
	}
}
