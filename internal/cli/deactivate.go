package cli

import (
	"context"
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
			return app.change(cmd.Context(), func(reg *be.Registry) error { return app.deactivate(cmd.Context(), reg) })
		},
	}
}

func (app *App) deactivate(ctx context.Context, reg *be.Registry) error {
	l, err := app.lifecycle(reg)
	if err != nil {
		return fmt.Errorf("cannot deactivate: %w", err)
	}
	if app.options.DryRun {
		e, _, err := l.Act.AfterDeactivate()
		if err == nil {
			app.notice().Say("Would boot %s next.", e.Name)
		}
		return err
	}
	name, err := l.Deactivate(ctx)
	if err != nil {
		return err
	}
	app.notice().Say("The next boot takes %s.", name)
	return nil
}
