package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Step is a step of the setup.
type Step struct {
	Text  string     // for the administrator: "put …", without a full stop
	Parts []txn.Step // empty if the step cannot be undone
}

// Plan returns the steps of Install for a machine.
//
// The order of the steps keeps the machine bootable at every moment. Until the last
// steps, the boot loader reads its old menu, and every file that this menu names stays at
// its place:
//
//   - GRUB with /boot in the root: the core image on the disk contains the path of the
//     root's own /boot/grub. That directory stays unchanged, hidden below the mount of
//     @grub. grub-install is the last step. It makes GRUB read @grub, which by then
//     contains a checked menu.
//   - GRUB with a separate /boot: the core image reads that file system before and after.
//     One rename(2) replaces its grub.cfg. The kernels of the old menu are deleted after
//     all other steps. The fstab changes last, so that after a power cut update-grub
//     still finds the kernels in /boot and writes a menu that GRUB can read.
//   - systemd-boot: both menus exist before the old entries are deleted.
//
// In all other cases the fstab changes early: the file systems that it mounts exist by
// then, and a failed mount does not stop a boot. The scripts that add the distribution's
// own menu entries are disabled when apt-be's menu exists.
func (i *Installer) Plan(m Layout) ([]Step, error) {
	running, err := i.Registry.Running()
	if err != nil {
		return nil, err
	}
	envs, err := i.Registry.List()
	if err != nil {
		return nil, err
	}
	if m.prepared() {
		return nil, fmt.Errorf("%w: /boot/grub is mounted from %s, as by an apt-be init, but there is no record of it", ErrLayout, m.Menu.Source)
	}
	steps := []Step{{"rebuild the initrds, so that they support trials", []txn.Step{{Kind: stepInitramfs}}}}
	var layout []Step
	switch {
	case m.Loader == be.LoaderSystemdBoot:
		layout = nil
	case m.Boot != nil:
		layout, err = i.planOwnBoot(m)
	default:
		layout, err = i.planGRUBDir(m)
	}
	if err != nil {
		return nil, err
	}
	table := Step{Text: fmt.Sprintf("mount %[2]s by lines in /etc/fstab of %[1]s", names(envs), strings.Join(mountPoints(m), " and "))}
	for _, e := range envs {
		if e.Subvolume.ReadOnly {
			continue
		}
		part, err := fstabStep(e.Subvolume.Path, fstabOf(m))
		if err != nil {
			return nil, err
		}
		table.Parts = append(table.Parts, part)
	}
	steps = append(steps, layout...)
	if m.Boot == nil {
		steps = append(steps, table)
	}
	steps = append(steps, i.planMounts(m)...)
	boot := bootOf(m)
	data, err := json.Marshal(boot)
	if err != nil {
		return nil, err
	}
	stock, err := i.planStock(m, envs)
	if err != nil {
		return nil, err
	}
	steps = append(steps, Step{
		fmt.Sprintf("write the boot menu, with %s in it and %s as the default", names(envs), running.Name),
		[]txn.Step{
			{Kind: stepBoot, Args: txn.Args{"boot": string(data)}},
			{Kind: stepMenu, Args: txn.Args{"default": running.Name, "previous": textVariable(i.Host, "LoaderEntryDefault")}},
		},
	})
	last, err := i.planLoader(m)
	steps = append(append(steps, stock...), last...)
	if m.Boot != nil {
		steps = append(steps, table, Step{Text: "remove the kernels in the file system that was /boot, because GRUB has its copies"}) // clearUp does this
	}
	return steps, err
}

// bootOf returns the registry's record of the setup.
func bootOf(m Layout) be.Boot {
	b := be.Boot{Schema: be.BootSchema, Loader: m.Loader, Origin: m.Subvolume}
	if m.ESP != nil {
		b.ESP = m.ESP.Dir
	}
	switch {
	case m.Loader == be.LoaderSystemdBoot:
		b.KernelDir = m.ESP.Dir
	case m.Boot != nil:
		b.KernelDir = "/boot/grub"
	default:
		b.MenuInStore = true
	}
	return b
}

func (i *Installer) planGRUBDir(m Layout) ([]Step, error) {
	// Another program's subvolume of this name must not be deleted.
	_, err := i.store().Get(be.GRUBDir)
	if err == nil || errors.Is(err, store.ErrNotSubvolume) {
		return nil, fmt.Errorf("%w: a %s already exists in the top-level subvolume", ErrLayout, be.GRUBDir)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return []Step{{
		"create the subvolume " + be.GRUBDir + " with a copy of /boot/grub, as the common /boot/grub of all boot environments",
		[]txn.Step{{Kind: stepGRUBDir, Args: txn.Args{"subvolume": m.Subvolume}}},
	}}, nil
}

func (i *Installer) planOwnBoot(m Layout) ([]Step, error) {
	below, err := os.ReadDir(i.path(m.Subvolume + "/boot"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the directory below the file system at /boot: %w", err)
	}
	for _, entry := range below {
		if !entry.IsDir() {
			return nil, fmt.Errorf("%w: a %s exists below the file system at /boot, in the root's own directory", ErrLayout, entry.Name())
		}
	}
	return []Step{{
		"copy /boot into the root file system, so that every boot environment has its own",
		[]txn.Step{{Kind: stepCopyBoot, Args: bootArgs(m)}},
	}}, nil
}

// planMounts mounts now the file systems that the next boots mount.
func (i *Installer) planMounts(m Layout) []Step {
	home := txn.Step{Kind: stepMount, Args: txn.Args{"dir": HomeMount, "subvolume": be.HomeDir}}
	switch {
	case m.Loader != be.LoaderGRUB:
		return []Step{{"mount it", []txn.Step{home}}}
	case m.Boot != nil:
		return []Step{{
			"unmount /boot, and mount it at /boot/grub, only for GRUB's files and copies of kernels",
			[]txn.Step{{Kind: stepSwitchBoot, Args: bootArgs(m)}, home},
		}}
	}
	return []Step{{"mount them", []txn.Step{
		{Kind: stepMount, Args: txn.Args{"dir": "/boot/grub", "subvolume": be.GRUBDir}}, home,
	}}}
}

// planStock keeps the distribution's own scripts from adding entries.
func (i *Installer) planStock(m Layout, envs []be.Env) ([]Step, error) {
	overrides, err := i.overrides(m)
	if err != nil {
		return nil, err
	}
	var parts []txn.Step
	for _, e := range envs {
		if e.Subvolume.ReadOnly {
			continue
		}
		if m.Loader == be.LoaderSystemdBoot {
			parts = append(parts, txn.Step{Kind: stepLayout, Args: txn.Args{"subvolume": e.Subvolume.Path}})
			continue
		}
		for _, o := range overrides {
			parts = append(parts, o.step(e.Subvolume.Path))
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	if m.Loader == be.LoaderSystemdBoot {
		return []Step{{"set layout=other in /etc/kernel/install.conf, so that kernel-install adds no entries itself", parts}}, nil
	}
	var scripts []string
	for _, g := range m.GRUB.Generators {
		scripts = append(scripts, path.Base(g))
	}
	return []Step{{"disable " + strings.Join(scripts, " and ") + " in /etc/grub.d by dpkg-statoverride, so that update-grub writes the same menu everywhere", parts}}, nil
}

// planLoader makes the loader read the new menu.
func (i *Installer) planLoader(m Layout) ([]Step, error) {
	if m.Loader == be.LoaderSystemdBoot {
		return []Step{{
			"move the other entries of installed kernels away from " + m.ESP.Dir + "/loader/entries",
			[]txn.Step{{Kind: stepStockEntries, Args: txn.Args{"esp": m.ESP.Dir}}},
		}}, nil
	}
	steps := []Step{{
		"run update-grub, and check that the menu boots this system",
		[]txn.Step{{Kind: stepGRUBConfig, Args: txn.Args{"subvolume": m.Subvolume}}},
	}}
	if m.Boot != nil {
		return steps, nil
	}
	step, err := grubInstallStep(m)
	where := strings.Join(m.GRUB.Devices, " and ")
	if m.ESP != nil && m.Firmware == UEFI {
		where = m.ESP.Dir
	}
	return append(steps, Step{"run grub-install for " + where + ", which makes GRUB look into " + be.GRUBDir, []txn.Step{step}}), err
}

func mountPoints(m Layout) []string {
	var dirs []string
	for _, line := range fstabOf(m).Lines {
		dirs = append(dirs, mountPointOf(line))
	}
	return dirs
}

func names(envs []be.Env) string {
	var all []string
	for _, e := range envs {
		all = append(all, e.Name)
	}
	return strings.Join(all, ", ")
}
