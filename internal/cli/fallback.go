package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/host"
)

func newFallback(app *App) *cobra.Command {
	var kind, reason string
	cmd := &cobra.Command{
		Use:    "fallback",
		Short:  "Leave the running boot environment, which is on trial; apt-be-fallback.service runs it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// On a production machine, a user who types this does not want a reboot.
			if !app.live() || !host.OnTrial() {
				app.notice().Say("The running system is not on trial, so nothing changes.")
				return nil
			}
			if app.would("leave the running boot environment") {
				return nil
			}
			var back bool
			err := app.record(cmd.Context(), func(reg *be.Registry) (err error) {
				back, err = app.fail(cmd.Context(), reg, be.Fault{Kind: be.FaultKind(kind), Text: reason})
				return err
			})
			if errors.Is(err, activation.ErrNoTrial) {
				return nil
			}
			// Leave an unhealthy trial even after an error.
			if back || err != nil {
				return errors.Join(err, host.Reboot(cmd.Context()))
			}
			app.Log.Warn("the running boot environment is unhealthy, but the machine fell back from it before, so it stays")
			return host.EndTrial()
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(be.FaultHealth), "the kind of fault")
	cmd.Flags().StringVar(&reason, "reason", "it did not become healthy", "the reason, as a sentence")
	return cmd
}

func (app *App) fail(ctx context.Context, reg *be.Registry, fault be.Fault) (back bool, err error) {
	l, err := app.lifecycle(reg)
	if err != nil {
		return false, err
	}
	return l.Fail(ctx, fault)
}
