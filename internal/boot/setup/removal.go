package setup

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/txn"
)

// takeBack begins the kind of a step that undoes a step of another kind, and whose undo
// does that step again.
const takeBack = "take-back-"

func back(step txn.Step) txn.Step { return txn.Step{Kind: takeBack + step.Kind, Args: step.Args} }

// Removal returns the steps of Remove, each with the sentence that describes it. It
// returns be.ErrNotSetUp if apt-be init was not run.
func (i *Installer) Removal(now Layout) ([]Step, error) {
	done, err := i.Done()
	if err != nil {
		return nil, err
	}
	if done == nil {
		return nil, be.ErrNotSetUp
	}
	return i.removal(*done, now)
}

// removal returns the steps that reverse those of Plan. Their order differs from Plan's,
// because the boot loader must have a complete menu at every moment:
//
//   - GRUB with /boot in the root: the root's own /boot/grub, which the loader does not
//     read, gets the files of @grub and an ordinary menu. Then grub-install makes GRUB
//     read that directory. @grub is deleted last.
//   - GRUB with a separate /boot: the kernels are copied back first. One rename(2)
//     replaces grub.cfg before apt-be.cfg is deleted.
//   - systemd-boot: the distribution's entries and kernels exist again before apt-be's
//     are deleted.
func (i *Installer) removal(done Done, now Layout) ([]Step, error) {
	was := done.Machine
	if now.Loader != was.Loader {
		return nil, fmt.Errorf("%w: the boot loader is now %s, but was %s", ErrLayout, now.Loader, was.Loader)
	}
	running, err := i.Registry.Running()
	if err != nil {
		return nil, err
	}
	if running.Subvolume.Path != was.Subvolume {
		return nil, fmt.Errorf("%w: apt-be init was run in %s, which is not running; apt-be activate boots it", be.ErrProtected, was.Subvolume)
	}
	envs, err := i.Registry.List()
	if err != nil {
		return nil, err
	}
	var stock, tables []txn.Step
	for _, e := range envs {
		if e.Subvolume.ReadOnly {
			continue
		}
		for _, o := range done.Overrides {
			stock = append(stock, back(o.step(e.Subvolume.Path)))
		}
		if was.Loader == be.LoaderSystemdBoot {
			stock = append(stock, back(txn.Step{Kind: stepLayout, Args: txn.Args{"subvolume": e.Subvolume.Path}}))
		}
		part, err := fstabStep(e.Subvolume.Path, fstabOf(was))
		if err != nil {
			return nil, err
		}
		tables = append(tables, back(part))
	}
	table := Step{"remove the lines from /etc/fstab, in " + names(envs), tables}
	menu := Step{"remove the menu of boot environments", []txn.Step{
		back(txn.Step{Kind: stepMenu, Args: txn.Args{"default": running.Name, "previous": done.DefaultEntry}}),
	}}
	if was.Loader == be.LoaderSystemdBoot {
		return []Step{
			{"remove layout=other from /etc/kernel/install.conf", stock},
			{"add the usual entries of the installed kernels by kernel-install", []txn.Step{
				back(txn.Step{Kind: stepStockEntries, Args: txn.Args{"esp": was.ESP.Dir}}),
			}},
			menu, table,
		}, nil
	}
	scripts := Step{"make update-grub find the installed kernels again", stock}
	if was.Boot != nil {
		scripts.Parts = append([]txn.Step{{Kind: stepLeaveBoot, Args: bootArgs(was)}}, scripts.Parts...)
		return []Step{
			scripts,
			{"copy the kernels back into the file system that was /boot", []txn.Step{
				{Kind: stepFillBoot, Args: bootArgs(was)},
			}},
			{"unmount /boot/grub, and mount that file system at /boot again", []txn.Step{
				back(txn.Step{Kind: stepSwitchBoot, Args: bootArgs(was)}),
			}},
			table,
			{"write the usual menu by grub-mkconfig", []txn.Step{{Kind: stepPlainConfig}}},
			menu,
		}, nil
	}
	install, err := grubInstallStep(now)
	return []Step{
		scripts,
		{"copy the present content of /boot/grub to this system's own /boot/grub", []txn.Step{{Kind: stepPlainDir, Args: txn.Args{"subvolume": was.Subvolume}}}},
		{"write the usual menu there by grub-mkconfig", []txn.Step{{Kind: stepPlainConfig, Args: txn.Args{"hidden": "yes"}}}},
		{"run grub-install, which makes GRUB look there", []txn.Step{back(install)}},
		{"unmount " + be.GRUBDir, []txn.Step{back(txn.Step{Kind: stepMount, Args: txn.Args{"dir": "/boot/grub", "subvolume": be.GRUBDir}})}},
		table, menu,
	}, err
}
