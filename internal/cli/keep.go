package cli

import (
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
)

func newKeep(app *App) *cobra.Command {
	return app.newMark("keep NAME...", "Protect boot environments from being destroyed", true)
}

func newUnkeep(app *App) *cobra.Command {
	return app.newMark("unkeep NAME...", "Undo keep", false)
}

func (app *App) newMark(use, short string, kept bool) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				envs := make([]be.Env, len(args))
				for i, name := range args {
					var err error
					if envs[i], err = reg.Get(name); err != nil {
						return err
					}
				}
				for _, e := range envs {
					if app.options.DryRun {
						app.notice().Say("Would %s %s.", cmd.Name(), e.Name)
						continue
					}
					if err := reg.Change(e, func(r *be.Record) { r.Kept = kept }); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
