package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/health"
)

// errUnhealthy reports that a health check failed; the check was printed.
var errUnhealthy = errors.New("the running system is unhealthy")

func newHealth(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Run the health checks",
		Long: `Run the health checks: the executable files in /etc/apt-be/health.d and
/usr/lib/apt-be/health.d. A file in the former replaces a file of the same name in
the latter.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return app.health(cmd.Context()) },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "services",
		Short: "Check that all services run that ran before the trial",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return app.healthServices(cmd.Context()) },
	})
	return cmd
}

func (app *App) health(ctx context.Context) error {
	fault := ""
	for _, r := range health.Run(ctx, health.Dirs(), app.Stdout) {
		if !r.OK && fault == "" {
			fault = r.Name + ": " + r.Reason
		}
	}
	if fault == "" {
		return nil
	}
	// In a trial, record the fault; otherwise a user runs the checks by hand.
	err := app.record(ctx, func(reg *be.Registry) error {
		_, err := app.fail(ctx, reg, be.Fault{Kind: be.FaultHealth, Text: fault})
		return err
	})
	if errors.Is(err, activation.ErrNoTrial) || errors.Is(err, be.ErrNotSetUp) {
		err = nil
	}
	return errors.Join(fmt.Errorf("%w: %s", errUnhealthy, fault), err)
}

// settling is how long services may take to start before they are checked.
const settling = 5 * time.Minute

func (app *App) healthServices(ctx context.Context) error {
	var before be.Units
	err := app.look(func(_ *be.Registry, envs []be.Env) error {
		for _, e := range envs {
			if e.Running && e.Record.Trial != nil {
				before = e.Record.Trial.Units
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	return health.Services(ctx, before)
}
