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

// The files of GRUB's menu, and the copy of the earlier one.
const (
	grubConfig = "/boot/grub/grub.cfg"
	grubMenu   = "/boot/grub/apt-be.cfg"
	grubBefore = "/boot/grub/grub.cfg.apt-be-before"
)

// errBadMenu reports that a menu would not boot the running system.
var errBadMenu = errors.New("GRUB's menu is wrong")

// grubConfig runs update-grub, and checks the new menu.
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
		return fmt.Errorf("%w: grub.cfg does not include apt-be.cfg; does /etc/grub.d/09_apt-be exist, and is it executable?", errBadMenu)
	case !hasEntry(menu, a["subvolume"]):
		return fmt.Errorf("%w: apt-be.cfg has no entry for %s", errBadMenu, a["subvolume"])
	}
	return nil
}

// hasEntry reports whether a menu boots a subvolume.
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

// restoreGRUBConfig restores the earlier grub.cfg.
func (i *Installer) restoreGRUBConfig(context.Context, txn.Args) error {
	if !isFile(i.Host.path(grubBefore)) {
		return nil
	}
	if err := copyFile(i.Host.path(grubBefore), i.Host.path(grubConfig)); err != nil {
		return err
	}
	// The menu that it replaces is removed next.
	if err := grub.Settle(i.Host.path("boot/grub")); err != nil {
		return err
	}
	return durable.Remove(i.Host.path(grubBefore))
}

// hidden wraps a command so that it runs in its own mount namespace, in which
// /boot/grub is the root's own directory. If nothing is mounted there, that is always
// the case. A shell in the mounted directory would prevent an unmount.
func hidden(command ...string) []string {
	return append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`cd / || exit 1; if mountpoint -q /boot/grub; then umount /boot/grub || exit 1; fi; exec "$@"`, "sh"}, command...)
}

// makeConfig runs grub-mkconfig as update-grub does, which replaces grub.cfg after the
// new one is complete and checked. Then GRUB sees it.
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

// plainConfig writes a menu as it was without apt-be.
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

// grubInstallStep returns a step that runs grub-install on all disks with GRUB, as its
// package does.
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

// grubInstall makes GRUB read the current /boot/grub. As with every grub-install, a
// power cut during the milliseconds of the core image's write can leave the machine
// unbootable.
func (i *Installer) grubInstall(ctx context.Context, a txn.Args) error {
	return i.runGRUBInstall(ctx, a, func(command ...string) []string { return command })
}

// grubInstallHidden makes GRUB read the running root's own /boot/grub.
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
	unix.Sync() // including the EFI system partition
	return nil
}
