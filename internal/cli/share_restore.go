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
		Short: "Restore the data of a share from a share snapshot",
		Long: `Restore the data of a share from the snapshot that was taken when the machine left for
a boot environment, for example if the new system has damaged the data. The data is
restored beside the share, at PATH.ENVIRONMENT.

With --in-place it replaces the present data, which is kept as another share that no
boot environment mounts. No file may be open there.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.NameOrPath = args[0]
			return app.changeShares(cmd.Context(), func(ctx context.Context, _ *be.Registry) error {
				return app.withoutJournalIn(ctx, o.NameOrPath, func() error { return app.restoreShare(ctx, o) })
			})
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "the boot environment that the machine left for")
	cmd.Flags().BoolVar(&o.InPlace, "in-place", false, "replace the present data of the share")
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
		if app.would("restore %s of %s to %s", plan.Share.Path, when, plan.Dir) {
			return nil
		}
		if err := app.shares.Restore(ctx, plan); err != nil {
			return err
		}
		app.notice().Say("The data of %s of %s is in %s.", plan.Share.Path, when, plan.Dir)
		return nil
	}
	if app.would("restore %s of %s in place, and keep the present data as the share %s", plan.Share.Path, when, plan.Kept) {
		return nil
	}
	if err := app.shares.Restore(ctx, plan); err != nil {
		return err
	}
	app.notice().Say("%s has the data of %s again. The data before the restore is kept as the share %s, which no boot environment mounts.", plan.Share.Path, when, plan.Kept)
	return nil
}
