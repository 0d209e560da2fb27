package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newBless(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "bless",
		Short: "End the trial of the running boot environment with success",
		Long: `End the trial of the running boot environment with success: it becomes the default.
apt-be-bless.service runs this command after all health checks have passed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.record(cmd.Context(), func(reg *be.Registry) error { return app.bless(cmd.Context(), reg) })
		},
	}
}

func (app *App) bless(ctx context.Context, reg *be.Registry) error {
	l, err := app.lifecycle(reg)
	if err != nil {
		return fmt.Errorf("cannot bless: %w", err)
	}
	if app.options.DryRun {
		e, err := l.Act.OnTrial()
		if err != nil {
			return fmt.Errorf("cannot bless %s: %w", e.Name, err)
		}
		app.would("make %s the default", e.Name)
		return nil
	}
	e, err := l.Bless(ctx)
	if err != nil {
		return fmt.Errorf("cannot bless %s: %w", e.Name, err)
	}
	app.notice().Say("%s is healthy and is the default.", e.Name)
	return nil
}
