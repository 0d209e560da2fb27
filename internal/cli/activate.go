package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
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
	if e.Running {
		app.notice().Say("%s is the running one already.", name)
		return nil
	}
	// Its kernels may be others by now, as after apt-be run.
	if e, err = reg.Identify(e); err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	_, hasKernel := bootKernel(e)
	switch {
	case e.Record.State == be.Failed:
		return fmt.Errorf("cannot activate %s: %w: its upgrade failed: %s", name, be.ErrProtected, e.Record.Reason)
	case !e.Bootable() || !hasKernel:
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
	err = reg.Change(e, func(r *be.Record) {
		r.Armed, r.Title, r.Kernels = true, e.Record.Title, e.Record.Kernels
	})
	if err != nil {
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
		if len(names) == 0 || slices.Contains(names, e.Name) {
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
	if len(leave) == 0 && app.loader() == nil {
		return nil
	}
	if app.options.DryRun {
		for _, e := range leave {
			app.notice().Say("Would take %s out of the boot menu.", e.Name)
		}
		return nil
	}
	// The menu may hold more than the records say: after a crash, or when it
	// was last written from another environment.
	if _, err := app.setMenu(reg, stay); err != nil {
		return err
	}
	for _, e := range leave {
		if err := reg.Change(e, func(r *be.Record) { r.Armed = false }); err != nil {
			return err
		}
	}
	return nil
}
