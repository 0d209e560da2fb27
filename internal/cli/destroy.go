package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newDestroy(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "destroy NAME...",
		Short: "Delete boot environments",
		Long: `Delete boot environments and all that is in them. The running one, the one
that the next boot takes, kept and mounted ones, and the last one that is known
to be healthy are not deleted.`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.destroy(cmd.Context(), reg, args)
			})
		},
	}
}

// destroy checks each name before it deletes the first.
func (app *App) destroy(ctx context.Context, reg *be.Registry, names []string) error {
	envs, err := reg.List()
	if err != nil {
		return err
	}
	byName := map[string]be.Env{}
	for _, e := range envs {
		byName[e.Name] = e
	}
	for _, name := range names {
		if err := be.CheckDestroy(envs, name, app.inUse(reg)); err != nil {
			return fmt.Errorf("cannot destroy %s: %w", name, err)
		}
	}
	var errs []error
	for i, name := range names {
		if app.options.DryRun {
			app.notice().Say("Would destroy %s.", name)
			continue
		}
		// Again, because of the ones that are gone by now: two may be the last
		// healthy ones together.
		if i > 0 {
			if envs, err = reg.List(); err != nil {
				return err
			}
		}
		err := be.CheckDestroy(envs, name, app.inUse(reg))
		if err == nil {
			err = reg.Destroy(ctx, byName[name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot destroy %s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		if len(errs) < len(names) {
			return partly{err}
		}
		return err
	}
	return nil
}
