package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
)

// The files of GRUB's menu, and the one with what was there before.
const (
	grubConfig = "/boot/grub/grub.cfg"
	grubMenu   = "/boot/grub/apt-be.cfg"
	grubBefore = "/boot/grub/grub.cfg.apt-be-before"
)

// errBadMenu says that a menu would not boot the running system.
var errBadMenu = errors.New("GRUB's menu is not as it should be")

// grubConfig runs update-grub, and checks what came of it.
func (i *Installer) grubConfig(ctx context.Context, a txn.Args) error {
	if err := copyFile(i.Host.path(grubConfig), i.Host.path(grubBefore)); err != nil {
		return err
	}
	if err := i.makeConfig(ctx, nil); err != nil {
		return err
	}
	for _, file := range []string{grubConfig, grubMenu} {
		if _, err := i.Host.Run(ctx, "grub-script-check", i.Host.path(file)); err != nil {
			return fmt.Errorf("%w: %w", errBadMenu, err)
		}
	}
	config, err := os.ReadFile(i.Host.path(grubConfig))
	if err != nil {
		return err
	}
	menu, err := os.ReadFile(i.Host.path(grubMenu))
	switch {
	case err != nil:
		return err
	case !bytes.Contains(config, []byte("apt-be.cfg")):
		return fmt.Errorf("%w: grub.cfg does not read apt-be.cfg; is /etc/grub.d/09_apt-be there, and may it be run?", errBadMenu)
	case !hasEntry(menu, a["subvolume"]):
		return fmt.Errorf("%w: there is no entry for %s in apt-be.cfg", errBadMenu, a["subvolume"])
	}
	return nil
}

// hasEntry says whether a menu boots a subvolume.
func hasEntry(menu []byte, subvolume string) bool {
	for line := range bytes.Lines(menu) {
		words := strings.Fields(string(line))
		if len(words) == 0 || words[0] != "linux" {
			continue
		}
		for _, word := range words {
			word = strings.Trim(word, "'\"")
			flags, ok := strings.CutPrefix(word, "rootflags=")
			if ok && (hasOption(flags, "subvol="+subvolume) || hasOption(flags, "subvol=/"+subvolume)) {
				return true
			}
		}
	}
	return false
}

// restoreGRUBConfig puts the grub.cfg back that was there before.
func (i *Installer) restoreGRUBConfig(context.Context, txn.Args) error {
	if !isFile(i.Host.path(grubBefore)) {
		return nil
	}
	if err := copyFile(i.Host.path(grubBefore), i.Host.path(grubConfig)); err != nil {
		return err
	}
	// The menu that it replaces goes next.
	if err := grub.Settle(i.Host.path("boot/grub")); err != nil {
		return err
	}
	return durable.Remove(i.Host.path(grubBefore))
}

// hidden runs a command in a mount name space of its own where /boot/grub is
// the directory of the root itself. Where nothing is mounted it is that anyway.
// A shell that stands in it would keep it from being unmounted.
func hidden(command ...string) []string {
	return append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`cd / || exit 1; if mountpoint -q /boot/grub; then umount /boot/grub || exit 1; fi; exec "$@"`, "sh"}, command...)
}

// makeConfig runs grub-mkconfig as update-grub does, which replaces grub.cfg
// when the new one is whole and has been checked. GRUB sees it from then on.
func (i *Installer) makeConfig(ctx context.Context, wrap func(...string) []string) error {
	command := []string{"grub-mkconfig", "-o", grubConfig}
	if wrap != nil {
		command = wrap(command...)
	}
	if _, err := i.Host.Run(ctx, command[0], command[1:]...); err != nil {
		return err
	}
	return grub.Settle(i.Host.path("boot/grub"))
}

// plainConfig writes a menu as it was before apt-be.
func (i *Installer) plainConfig(ctx context.Context, a txn.Args) error {
	var wrap func(...string) []string
	if a["hidden"] != "" {
		wrap = hidden
	}
	if err := i.makeConfig(ctx, wrap); err != nil {
		return err
	}
	running, err := i.Registry.Running()
	if err != nil {
		return err
	}
	file := i.Host.path(grubConfig)
	if a["hidden"] != "" {
		file = i.path(running.Subvolume.Path + grubConfig)
	}
	config, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !hasEntry(config, running.Subvolume.Path) {
		return fmt.Errorf("%w: grub-mkconfig found no kernel of the running system", errBadMenu)
	}
	return durable.Remove(strings.TrimSuffix(file, grubConfig) + grubBefore)
}

// grubInstallStep is grub-install on all disks that have GRUB, as its package
// runs it.
func grubInstallStep(m Layout) (txn.Step, error) {
	g := *m.GRUB
	var commands [][]string
	if len(g.Devices) > 0 {
		for _, device := range g.Devices {
			commands = append(commands, []string{"grub-install", "--target=" + g.Target, device})
		}
	} else {
		command := []string{"grub-install", "--target=" + g.Target}
		switch {
		case g.OnlyRemovable:
			command = append(command, "--removable")
		case g.Removable:
			command = append(command, "--force-extra-removable")
		}
		if m.ESP.Dir != "/boot/efi" {
			command = append(command, "--efi-directory="+m.ESP.Dir)
		}
		if g.NoVariables {
			command = append(command, "--no-nvram")
		}
		commands = [][]string{command}
	}
	data, err := json.Marshal(commands)
	return txn.Step{Kind: stepGRUBInstall, Args: txn.Args{"commands": string(data)}}, err
}

// grubInstall makes GRUB go by what is at /boot/grub now. While it writes the
// core image, it is as it is with any other run of grub-install: a power cut
// in these milliseconds is the one that can't be helped.
func (i *Installer) grubInstall(ctx context.Context, a txn.Args) error {
	return i.runGRUBInstall(ctx, a, func(command ...string) []string { return command })
}

// grubInstallHidden makes GRUB go by the /boot/grub of the running root.
func (i *Installer) grubInstallHidden(ctx context.Context, a txn.Args) error {
	return i.runGRUBInstall(ctx, a, hidden)
}

func (i *Installer) runGRUBInstall(ctx context.Context, a txn.Args, wrap func(...string) []string) error {
	var commands [][]string
	if err := json.Unmarshal([]byte(a["commands"]), &commands); err != nil {
		return err
	}
	for _, command := range commands {
		command = wrap(command...)
		if _, err := i.Host.Run(ctx, command[0], command[1:]...); err != nil {
			return err
		}
	}
	unix.Sync() // the EFI system partition, too
	return nil
}
