package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/systemd"
	"github.com/apt-be/apt-be/internal/txn"
)

func fstabStep(subvolume string, f Fstab) (txn.Step, error) {
	data, err := json.Marshal(f)
	return txn.Step{Kind: stepFstab, Args: txn.Args{"subvolume": subvolume, "fstab": string(data)}}, err
}

func (i *Installer) addFstab(ctx context.Context, a txn.Args) error {
	return i.editFstab(ctx, a, Fstab.Add)
}

func (i *Installer) removeFstab(ctx context.Context, a txn.Args) error {
	return i.editFstab(ctx, a, Fstab.Remove)
}

func (i *Installer) editFstab(ctx context.Context, a txn.Args, edit func(Fstab, string) string) error {
	var f Fstab
	if err := json.Unmarshal([]byte(a["fstab"]), &f); err != nil {
		return err
	}
	err := inroot.Edit(i.path(a["subvolume"]), "etc/fstab", func(old []byte) ([]byte, bool, error) {
		text := edit(f, string(old))
		return []byte(text), text != string(old), nil
	})
	if root, mountErr := i.Host.mountAt(""); mountErr == nil && root != nil && strings.Trim(root.Root, "/") == a["subvolume"] {
		i.reloadUnits(ctx)
	}
	return err
}

// reloadUnits makes systemd read the new fstab. Without systemd it does nothing.
func (i *Installer) reloadUnits(ctx context.Context) {
	if i.Host.has("run/systemd/system") {
		command := systemd.DaemonReload()
		_, _ = i.Host.Run(ctx, command[0], command[1:]...)
	}
}

// PrepareRoot makes a root file system bootable by the menu of a machine that is set
// up. A root from another machine lacks the changes that Install made in the existing
// environments, and that new ones inherit: the lines in the fstab, and the switched-off
// scripts of the distribution. PrepareRoot does nothing if they exist.
func (i *Installer) PrepareRoot(ctx context.Context, m Layout, subvolume string) error {
	done, err := i.Done()
	if err != nil {
		return err
	}
	if done != nil {
		m = done.Machine // it has the replaced lines and the switched-off scripts
	}
	part, err := fstabStep(subvolume, fstabOf(m))
	if err != nil {
		return err
	}
	err = i.addFstab(ctx, part.Args)
	if err == nil && m.Loader == be.LoaderSystemdBoot {
		err = i.setLayout(ctx, part.Args)
	}
	if m.GRUB != nil && m.Loader == be.LoaderGRUB {
		for _, path := range m.GRUB.Generators {
			if err == nil {
				err = i.override(ctx, Override{Path: path}.step(subvolume).Args)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("cannot prepare %s for the boot menu: %w", subvolume, err)
	}
	return nil
}

// Override is a generator of GRUB's menu with its earlier mode.
type Override struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"` // "OWNER GROUP MODE" of the earlier statoverride
	Mode string `json:"mode"`          // of the file
}

func (o Override) step(subvolume string) txn.Step {
	return txn.Step{Kind: stepOverride, Args: txn.Args{"subvolume": subvolume, "path": o.Path, "old": o.Old, "mode": o.Mode}}
}

// overrides returns the current state of the generators.
func (i *Installer) overrides(m Layout) ([]Override, error) {
	if m.GRUB == nil {
		return nil, nil
	}
	var all []Override
	for _, path := range m.GRUB.Generators {
		info, err := os.Stat(i.Host.path(path))
		if err != nil {
			continue
		}
		old, err := statOverride(i.Host.Root, path)
		if err != nil {
			return nil, err
		}
		all = append(all, Override{path, old, fmt.Sprintf("%04o", info.Mode().Perm())})
	}
	return all, nil
}

// dpkgDir is the directory of dpkg's database.
const dpkgDir = "var/lib/dpkg"

// statOverride returns the statoverride of a file as "OWNER GROUP MODE", or "".
func statOverride(root, path string) (string, error) {
	data, err := inroot.ReadFile(root, dpkgDir+"/statoverride")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(line, "\n"), " "+path); ok {
			return rest, nil
		}
	}
	return "", nil
}

// switchedOff is the statoverride of a generator that update-grub skips, as
// dpkg-statoverride writes it.
const switchedOff = "root root 644"

func (i *Installer) override(ctx context.Context, a txn.Args) error {
	return i.setOverride(ctx, a, switchedOff, 0o644)
}

func (i *Installer) removeOverride(ctx context.Context, a txn.Args) error {
	mode, err := strconv.ParseUint(a["mode"], 8, 12)
	if err != nil {
		return err
	}
	return i.setOverride(ctx, a, a["old"], fs.FileMode(mode))
}

// setOverride sets or removes the statoverride of a file of an environment, and sets
// its mode. It skips a missing file. Links stay in the environment.
func (i *Installer) setOverride(ctx context.Context, a txn.Args, wanted string, mode fs.FileMode) error {
	root := i.path(a["subvolume"])
	info, err := inroot.Lstat(root, a["path"])
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := statOverride(root, a["path"])
	if err != nil {
		return err
	}
	dir, err := inroot.OpenDir(root, dpkgDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	admin := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), dir.Fd())
	if now != "" && now != wanted {
		if _, err := i.Host.Run(ctx, "dpkg-statoverride", "--admindir", admin, "--remove", a["path"]); err != nil {
			return err
		}
	}
	if wanted != "" && now != wanted {
		args := append([]string{"--admindir", admin, "--add"}, append(strings.Fields(wanted), a["path"])...)
		if _, err := i.Host.Run(ctx, "dpkg-statoverride", args...); err != nil {
			return err
		}
	}
	return inroot.Chmod(root, a["path"], mode)
}

// installConf is the file from which kernel-install(8) reads its layout.
const installConf = "etc/kernel/install.conf"

func (i *Installer) setLayout(_ context.Context, a txn.Args) error {
	return i.editLayout(a, func(text string) string {
		var out strings.Builder
		for line := range strings.Lines(removeLayout(text)) {
			if strings.HasPrefix(line, "layout=") {
				line = replacedTag + line
			}
			out.WriteString(line)
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			out.WriteByte('\n')
		}
		return out.String() + layoutMark + "\nlayout=other\n"
	})
}

func (i *Installer) unsetLayout(_ context.Context, a txn.Args) error {
	return i.editLayout(a, removeLayout)
}

const layoutMark = "# The next line was added by apt-be init: kernels get their entries from apt-be."

func removeLayout(text string) string {
	var out strings.Builder
	marked := false
	for line := range strings.Lines(text) {
		if strings.TrimRight(line, "\n") == layoutMark {
			marked = true
			continue
		}
		if marked && strings.TrimRight(line, "\n") == "layout=other" {
			marked = false
			continue
		}
		marked = false
		out.WriteString(strings.TrimPrefix(line, replacedTag))
	}
	return out.String()
}

// editLayout edits install.conf of an environment, and removes it if it becomes empty.
func (i *Installer) editLayout(a txn.Args, edit func(string) string) error {
	return inroot.EditOrMake(i.path(a["subvolume"]), installConf, func(old []byte) ([]byte, bool, error) {
		text := edit(string(old))
		return []byte(text), text != string(old), nil
	})
}

// mount mounts a subvolume of the root file system, as the next boot does by its new
// line in the fstab.
func (i *Installer) mount(_ context.Context, a txn.Args) error {
	mounted, err := i.Host.mountAt(a["dir"])
	if err != nil {
		return err
	}
	if mounted != nil {
		if strings.Trim(mounted.Root, "/") == a["subvolume"] {
			return nil
		}
		return fmt.Errorf("something else is mounted at %s", a["dir"])
	}
	dir := i.Host.path(a["dir"])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := i.Host.Mount(i.store().Device(), dir, "btrfs", "subvol=/"+a["subvolume"]); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", a["subvolume"], a["dir"], err)
	}
	return nil
}

func (i *Installer) unmount(_ context.Context, a txn.Args) error {
	mounted, err := i.Host.mountAt(a["dir"])
	if err != nil || mounted == nil || strings.Trim(mounted.Root, "/") != a["subvolume"] {
		return err
	}
	if err := i.Host.Unmount(i.Host.path(a["dir"])); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", a["dir"], err)
	}
	return nil
}

// makeGRUBDir creates the subvolume @grub from an environment's /boot/grub.
func (i *Installer) makeGRUBDir(_ context.Context, a txn.Args) error {
	from, done, err := i.in(a["subvolume"], "boot/grub")
	if err != nil {
		return err
	}
	defer done()
	if err := i.store().Create(be.GRUBDir); err != nil {
		return err
	}
	return copyTree(from, i.path(be.GRUBDir), everything)
}

// removeGRUBDir deletes it, unless the loader reads it. The next boot may have mounted
// it, by the line in the fstab.
func (i *Installer) removeGRUBDir(ctx context.Context, _ txn.Args) error {
	sub, err := i.store().Get(be.GRUBDir)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if boot, err := i.Registry.Boot(); err == nil && boot.MenuInStore {
		return fmt.Errorf("%w: the boot loader reads %s", be.ErrProtected, be.GRUBDir)
	} else if err != nil && !errors.Is(err, be.ErrNotSetUp) {
		return err
	}
	if err := i.unmount(ctx, txn.Args{"dir": "/boot/grub", "subvolume": be.GRUBDir}); err != nil {
		return err
	}
	if err := i.Registry.CheckUnused(sub); err != nil {
		return err
	}
	return i.store().Delete(be.GRUBDir)
}

func everything(string) bool { return true }

// fillPlainDir copies @grub to an environment's own /boot/grub, without apt-be's files
// and the menu.
func (i *Installer) fillPlainDir(_ context.Context, a txn.Args) error {
	to, done, err := i.in(a["subvolume"], "boot/grub")
	if err != nil {
		return err
	}
	defer done()
	return copyTree(i.path(be.GRUBDir), to, func(path string) bool {
		return path != "grub.cfg" && !strings.HasPrefix(path, "apt-be")
	})
}
