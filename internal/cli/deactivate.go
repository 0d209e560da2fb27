package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newDeactivate(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "deactivate",
		Short: "Cancel an apt-be activate or rollback",
		Long: `Cancel an apt-be activate or apt-be rollback that the machine has not booted yet: the
next boot takes the default, as before. This also unloads a kernel that was loaded
for kexec, and cancels a prepared soft reboot.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.change(cmd.Context(), func(*be.Registry) error { return app.deactivate() })
		},
	}
}

func (app *App) deactivate() error {
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot deactivate: %w", err)
	}
	if app.options.DryRun {
		e, _, err := act.AfterDeactivate()
		if err == nil {
			app.notice().Say("Would boot %s next.", e.Name)
		}
		return err
	}
	if err := app.unprepare(); err != nil {
		return err
	}
	name, err := act.Deactivate()
	if err != nil {
		return err
	}
	app.notice().Say("The next boot takes %s.", name)
	return nil
}

// disarm cancels only a trial, not a user's choice of the default.
func (app *App) disarm() error {
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot deactivate: %w", err)
	}
	if err := app.unprepare(); err != nil {
		return err
	}
	if err := act.Disarm(); err != nil {
		return err
	}
	name, err := act.Loader.Default()
	if err != nil {
		return err
	}
	app.notice().Say("The next boot takes %s.", name)
	return nil
}
