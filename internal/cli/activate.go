package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/boot/sdboot"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
)

func newActivate(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "activate NAME",
		Short: "Put a boot environment into the boot menu",
		Long: `Put a boot environment into the boot menu, with its own kernel and initrd, so
that it can be chosen there at the next boot. What boots without a choice stays
as it is.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error { return app.activate(reg, args[0]) })
		},
	}
}

func newDeactivate(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "deactivate [NAME...]",
		Short: "Take boot environments out of the boot menu again",
		Args:  takes(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error { return app.deactivate(reg, args) })
		},
	}
}

func (app *App) activate(reg *be.Registry, name string) error {
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	switch {
	case e.Running:
		app.notice().Say("%s is the running one already.", name)
		return nil
	case e.Record.State == be.Failed:
		return fmt.Errorf("cannot activate %s: %w: its upgrade failed: %s", name, be.ErrProtected, e.Record.Reason)
	case !e.Bootable():
		return fmt.Errorf("cannot activate %s: %w: there is no kernel in it", name, be.ErrProtected)
	case app.options.DryRun:
		app.notice().Say("Would put %s into the boot menu.", name)
		return nil
	}
	if err := app.checkFresh(reg, e); err != nil {
		return err
	}
	armed, err := app.armed(reg)
	if err != nil {
		return err
	}
	loader, err := app.setMenu(reg, append(armed, e))
	if err != nil {
		return err
	}
	if err := reg.Change(e, func(r *be.Record) { r.State = be.Armed }); err != nil {
		return err
	}
	app.notice().Say("%s is in the menu of %s. Reboot and choose it there.", name, loader)
	return nil
}

// checkFresh refuses an environment that lacks what happened to the packages
// of the running system since.
func (app *App) checkFresh(reg *be.Registry, e be.Env) error {
	if !e.Pending() && e.Record.State != be.Stale {
		return nil
	}
	changed, err := redirect.PackagesChanged(reg, e)
	if errors.Is(err, be.ErrNotFound) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil && changed {
		err = fmt.Errorf("%w: packages of the running system changed since it was made; the same upgrade again makes one anew", be.ErrProtected)
	}
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w", e.Name, err)
	}
	return nil
}

func (app *App) deactivate(reg *be.Registry, names []string) error {
	armed, err := app.armed(reg)
	if err != nil {
		return err
	}
	var stay, leave []be.Env
	for _, e := range armed {
		if len(names) == 0 || contains(names, e.Name) {
			leave = append(leave, e)
		} else {
			stay = append(stay, e)
		}
	}
	for _, name := range names {
		if _, err := reg.Get(name); err != nil {
			return err
		}
	}
	if len(leave) == 0 {
		return nil
	}
	if app.options.DryRun {
		for _, e := range leave {
			app.notice().Say("Would take %s out of the boot menu.", e.Name)
		}
		return nil
	}
	if _, err := app.setMenu(reg, stay); err != nil {
		return err
	}
	for _, e := range leave {
		if err := reg.Change(e, func(r *be.Record) { r.State = be.Ready }); err != nil {
			return err
		}
	}
	return nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func (app *App) armed(reg *be.Registry) ([]be.Env, error) {
	envs, err := reg.List()
	if err != nil {
		return nil, err
	}
	var armed []be.Env
	for _, e := range envs {
		if e.Record.State == be.Armed {
			armed = append(armed, e)
		}
	}
	return armed, nil
}

// setMenu makes envs the boot environments in the menu of the machine's loader.
func (app *App) setMenu(reg *be.Registry, envs []be.Env) (boot.Loader, error) {
	loader := app.loader()
	if loader == nil {
		return nil, fmt.Errorf("cannot change the boot menu: %w", errNoLoader)
	}
	st := reg.Store()
	uuid, ok := st.(interface{ FileSystemUUID() string })
	if !ok {
		return nil, fmt.Errorf("cannot change the boot menu: %w", store.ErrUnsupported)
	}
	commandLine, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	var entries []boot.Entry
	seen := map[string]bool{}
	for _, e := range envs {
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		kernel := e.Record.Kernels[0]
		entries = append(entries, boot.Entry{
			Name:          e.Name,
			Title:         e.Record.Title + " (" + e.Name + ")",
			FSUUID:        uuid.FileSystemUUID(),
			Subvolume:     e.Subvolume.Path,
			Kernel:        boot.InSubvolume(e.Subvolume.Path, kernel.Image),
			Initrd:        initrdOf(e, kernel),
			KernelVersion: kernel.Version,
			Options:       strings.TrimSpace(string(commandLine)),
		})
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(st.Path(strings.TrimPrefix(path, "/"))) }
	return loader, loader.SetEntries(entries, open)
}

func initrdOf(e be.Env, kernel be.Kernel) string {
	if kernel.Initrd == "" {
		return ""
	}
	return boot.InSubvolume(e.Subvolume.Path, kernel.Initrd)
}

// loader finds the boot loader of the running root.
func (app *App) loader() boot.Loader {
	if l := sdboot.Find(app.options.Root); l != nil {
		return l
	}
	if l := grub.Find(app.options.Root); l != nil {
		return l
	}
	return nil
}
