package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/share"
)

func newShareRestore(app *App) *cobra.Command {
	o := share.RestoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore --from ENVIRONMENT [--in-place] NAME | PATH",
		Short: "Have again what a share was when the machine left for a boot environment",
		Long: `Have again what a share was when the machine left for a boot environment, in case
the new system has damaged it. It will be beside the share, in PATH.ENVIRONMENT.

With --in-place it takes the place of what the share is now, which is kept as
another share that nobody mounts, and is named. No file may be open there.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.NameOrPath = args[0]
			return app.changeShares(cmd.Context(), func(ctx context.Context, _ *be.Registry) error {
				return app.withoutJournalIn(ctx, o.NameOrPath, func() error { return app.restoreShare(ctx, o) })
			})
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "the boot environment that the machine left for")
	cmd.Flags().BoolVar(&o.InPlace, "in-place", false, "replace what the share is now")
	_ = cmd.MarkFlagRequired("from")
	return cmd
}

func (app *App) restoreShare(ctx context.Context, o share.RestoreOptions) error {
	plan, err := app.shares.PlanRestore(o)
	if err != nil {
		return err
	}
	when := plan.Snapshot.Taken.Local().Format("2006-01-02 15:04")
	if plan.Dir != "" {
		if app.would("put what %s was on %s into %s", plan.Share.Path, when, plan.Dir) {
			return nil
		}
		if err := app.shares.Restore(ctx, plan); err != nil {
			return err
		}
		app.notice().Say("What %s was on %s is in %s.", plan.Share.Path, when, plan.Dir)
		return nil
	}
	if app.would("make %s what it was on %s, and keep what it is as the share %s", plan.Share.Path, when, plan.Kept) {
		return nil
	}
	if err := app.shares.Restore(ctx, plan); err != nil {
		return err
	}
	app.notice().Say("%s is what it was on %s. What was there is kept as the share %s, which nobody mounts.", plan.Share.Path, when, plan.Kept)
	return nil
}
