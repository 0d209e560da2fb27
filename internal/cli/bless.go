package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/host"
)

func newBless(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "bless",
		Short: "End the trial of the running boot environment with success",
		Long: `End the trial of the running boot environment with success: it becomes the default.
apt-be-bless.service runs this command after all health checks have passed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.record(cmd.Context(), func(*be.Registry) error { return app.bless() })
		},
	}
}

func (app *App) bless() error {
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot bless: %w", err)
	}
	e, err := act.OnTrial()
	if err != nil {
		return fmt.Errorf("cannot bless %s: %w", e.Name, err)
	}
	if app.would("make %s the default", e.Name) {
		return nil
	}
	if _, err := act.Bless(); err != nil {
		return fmt.Errorf("cannot bless %s: %w", e.Name, err)
	}
	app.notice().Say("%s is healthy and is the default.", e.Name)
	return app.endTrial()
}

// endTrial stops the watchdog and timer of the running system's trial.
func (app *App) endTrial() error {
	if !app.live() {
		return nil
	}
	return host.EndTrial()
}
