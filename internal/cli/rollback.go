package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newRollback(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Make the previous blessed boot environment the default",
		Long: `Make the boot environment that was blessed last, except for the running one, the
default. It boots at the next reboot, without a trial.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := app.checkReadable(); err != nil {
				return fmt.Errorf("cannot roll back: %w", err)
			}
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				envs, err := reg.List()
				if err != nil {
					return err
				}
				e, err := lastBlessed(envs)
				if err != nil {
					return err
				}
				return app.activate(cmd.Context(), reg, e.Name, activateOptions{})
			})
		},
	}
}

// lastBlessed returns the environment for a rollback: the one that was blessed last and
// does not run.
func lastBlessed(envs []be.Env) (be.Env, error) {
	blessed := slices.DeleteFunc(slices.Clone(envs), func(e be.Env) bool {
		return e.Running || e.Record.State != be.Blessed
	})
	if len(blessed) == 0 {
		return be.Env{}, fmt.Errorf("cannot roll back: %w: no other boot environment is blessed", be.ErrProtected)
	}
	return slices.MaxFunc(blessed, func(a, b be.Env) int {
		if c := a.Record.BlessedAt.Compare(b.Record.BlessedAt); c != 0 {
			return c
		}
		if c := a.Record.Created.Compare(b.Record.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	}), nil
}
