package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newDeactivate(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "deactivate",
		Short: "Take back what apt-be activate has armed",
		Long: `Take back what apt-be activate has armed: the next boot takes what boots by
default. A kernel that is loaded for kexec and what is prepared for a soft
reboot go too.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.change(cmd.Context(), app.deactivate)
		},
	}
}

func (app *App) deactivate(reg *be.Registry) error {
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot deactivate: %w", err)
	}
	if app.options.DryRun {
		app.notice().Say("Would make the next boot take what boots by default.")
		return nil
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
