package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// pruneJSON is an environment in prune --json.
type pruneJSON struct {
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
		Long: `Delete old boot environments that upgrades made, and print the action for each with
its reason. Boot environments stay if a user made them, if they are kept, mounted or
not booted yet, or if they contain a subvolume that exists nowhere else.`,
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
				if err := reg.KeepUnique(fates); err != nil {
					return err
				}
				if err := app.prune(cmd.Context(), reg, fates); err != nil {
					return err
				}
				return app.printDecisions(fates)
			})
		},
	}
	cmd.Flags().IntVar(&keep, "keep", keep, "how many booted ones to keep besides the running one")
	return cmd
}

// prune destroys the selected environments. If one cannot be destroyed, it continues
// with the others.
func (app *App) prune(ctx context.Context, reg *be.Registry, decisions []be.PruneDecision) error {
	if app.options.DryRun {
		return nil
	}
	var errs []error
	done := 0
	for _, fate := range decisions {
		if !fate.Destroy {
			continue
		}
		if err := reg.Destroy(ctx, fate.Env); err != nil {
			errs = append(errs, err)
			continue
		}
		done++
	}
	err := errors.Join(errs...)
	if err != nil && done > 0 {
		return partly{err}
	}
	return err
}

func (app *App) printDecisions(decisions []be.PruneDecision) error {
	if app.options.JSON {
		list := make([]pruneJSON, len(decisions))
		for i, f := range decisions {
			list[i] = pruneJSON{f.Env.Name, f.Env.Record.Created, f.Destroy, f.Reason}
		}
		return ui.JSON(app.Stdout, map[string]any{"environments": list})
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "NAME", "ACTION", "REASON")
	for _, f := range decisions {
		action := "keep"
		if f.Destroy {
			action = "destroy"
		}
		table.Row(f.Env.Name, action, f.Reason)
	}
	return table.Flush()
}
