package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// fateJSON is an environment in prune --json.
type fateJSON struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Destroy bool      `json:"destroy"`
	Reason  string    `json:"reason"`
}

func newPrune(app *App) *cobra.Command {
	keep := 2
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete old boot environments that upgrades made",
		Long: `Delete old boot environments that upgrades made, and say of each why it goes
or stays. Those that somebody made, kept, mounted or has not booted yet stay.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep < 0 {
				return usageError{fmt.Errorf("cannot keep %d boot environments", keep)}
			}
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				envs, err := reg.List()
				if err != nil {
					return err
				}
				fates := be.Prune(envs, keep, app.inUse(reg))
				for _, fate := range fates {
					if fate.Destroy && !app.options.DryRun {
						if err := reg.Destroy(cmd.Context(), fate.Env); err != nil {
							return err
						}
					}
				}
				return app.printFates(fates)
			})
		},
	}
	cmd.Flags().IntVar(&keep, "keep", keep, "how many that have run stay besides the running one")
	return cmd
}

func (app *App) printFates(fates []be.Fate) error {
	if app.options.JSON {
		list := make([]fateJSON, len(fates))
		for i, f := range fates {
			list[i] = fateJSON{f.Env.Name, f.Env.Record.Created, f.Destroy, f.Reason}
		}
		return ui.JSON(app.Stdout, map[string]any{"environments": list})
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "NAME", "FATE", "WHY")
	for _, f := range fates {
		fate := "stays"
		if f.Destroy {
			fate = "goes"
		}
		table.Row(f.Env.Name, fate, f.Reason)
	}
	return table.Flush()
}
