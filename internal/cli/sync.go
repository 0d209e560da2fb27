package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

func newSync(app *App) *cobra.Command {
	var showRules, shutdown bool
	cmd := &cobra.Command{
		Use:   "sync [NAME]",
		Short: "Carry the changes of the running system to a boot environment",
		Long: `Carry the changes of the running system since boot environment NAME, or the pending
one, was made to that environment, as apt-be drift shows them. You can repeat this;
each run continues after the last one. If it is interrupted, the environment stays
unchanged.

Files that services write to are carried in their state at that moment.`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reg, done, err := app.registry()
			if shutdown && errors.Is(err, store.ErrUnsupported) {
				return nil // the unit exists on every machine
			}
			if err != nil {
				return err
			}
			defer done()
			if shutdown {
				l, err := app.lifecycle(reg)
				if errors.Is(err, be.ErrNotSetUp) {
					return nil
				}
				if err != nil {
					return err
				}
				return l.Shutdown(cmd.Context())
			}
			if showRules {
				return app.showRules(reg)
			}
			e, err := driftOf(reg, args)
			if err != nil {
				return err
			}
			return app.sync(cmd.Context(), reg, e)
		},
	}
	cmd.Flags().BoolVar(&showRules, "show-rules", false, "show the rules for files that both systems may change")
	cmd.Flags().BoolVar(&shutdown, "shutdown", false, "at shutdown: to the next boot environment")
	_ = cmd.Flags().MarkHidden("shutdown")
	return cmd
}

func (app *App) showRules(reg *be.Registry) error {
	running, err := reg.Running()
	if err != nil {
		return err
	}
	rules, err := catchup.Rules(reg.Store().Path(running.Subvolume.Path))
	if err != nil {
		return err
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "PATH", "ACTION", "FROM")
	for _, rule := range rules {
		table.Row(rule.Pattern, string(rule.Action), rule.From)
	}
	return table.Flush()
}

func (app *App) sync(ctx context.Context, reg *be.Registry, e be.Env) error {
	l, err := pairOfRunning(reg, e)
	if err != nil {
		return err
	}
	syncer := app.syncer(reg)
	if err := syncer.CheckUnmounted(e); err != nil {
		return fmt.Errorf("cannot carry the changes of the running system to %s: %w", e.Name, err)
	}
	if app.would("carry to %s the changes of %s", e.Name, l.Source.Name) {
		return nil
	}
	found, err := syncer.Sync(ctx, l, catchup.Options{})
	if err != nil {
		return err
	}
	app.warnOfInitramfs(e, found)
	return app.tellDrift(e.Name, found, false, false)
}
