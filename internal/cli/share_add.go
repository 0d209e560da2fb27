package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/share"
)

func newShareAdd(app *App) *cobra.Command {
	o := share.AddOptions{}
	cmd := &cobra.Command{
		Use:   "add [--name NAME] PATH",
		Short: "Turn a directory of the running system into a share",
		Long: `Turn a directory of the running system into a share: a subvolume that has what
is in it, without a copy of the data, takes its place, and all boot environments
mount it from now on. What those have at PATH themselves is hidden then.

Services that have files open there, or listen, have to be stopped before; they
are named.
If it is interrupted, or there was written to the directory meanwhile, all is as
it was.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !filepath.IsAbs(args[0]) {
				return usageError{fmt.Errorf("cannot make %s a share: it is not an absolute path", args[0])}
			}
			o.Path, o.OpenFiles = filepath.Clean(args[0]), app.accepts(share.RiskOpenFiles)
			return app.changeShares(cmd.Context(), func(ctx context.Context, reg *be.Registry) error {
				return app.withoutJournal(ctx, o.Path, func() error { return app.addShare(ctx, reg, o) })
			})
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "what to call it, instead of by its path")
	return cmd
}

func (app *App) addShare(ctx context.Context, reg *be.Registry, o share.AddOptions) error {
	plan, err := app.shares.PlanAdd(o)
	if errors.Is(err, be.ErrBadName) {
		err = usageError{err}
	}
	if err != nil {
		return err
	}
	if app.would("make %s the share %s", plan.Path, plan.Name) {
		app.tellHidden(plan, "would be hidden")
		return nil
	}
	release, err := app.hold(ctx, reg, plan.Running)
	if err != nil {
		return err
	}
	defer release()
	if err := app.shares.Add(ctx, plan); err != nil {
		return err
	}
	app.notice().Say("%s is the share %s.", plan.Path, plan.Name)
	app.tellHidden(plan, "is hidden now")
	return nil
}

// tellHidden names the environments that the share means something else for.
func (app *App) tellHidden(plan *share.Addition, what string) {
	if len(plan.Hides) > 0 {
		app.notice().Say("What is at %s in %s itself %s.", plan.Path, namesOf(plan.Hides), what)
	}
	if len(plan.Without) > 0 {
		app.notice().Warn("%s can't be changed and will not mount it.", namesOf(plan.Without))
	}
}

func namesOf(envs []be.Env) string {
	names := make([]string, len(envs))
	for i, e := range envs {
		names[i] = e.Name
	}
	return strings.Join(names, ", ")
}

func newShareRemove(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME | PATH",
		Short: "Put what is in a share back into the running system",
		Long: `Put what is in a share back into a directory of the running system. Other boot
environments that mount it go on doing so; if there are none, the share is gone.

A share that no boot environment mounts is deleted, with all that is in it: that
takes --accept-risk ` + share.RiskDeleteShare + `.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := share.RemoveOptions{NameOrPath: args[0], Delete: app.accepts(share.RiskDeleteShare)}
			return app.changeShares(cmd.Context(), func(ctx context.Context, reg *be.Registry) error {
				return app.withoutJournalIn(ctx, o.NameOrPath, func() error { return app.removeShare(ctx, reg, o) })
			})
		},
	}
}

func (app *App) removeShare(ctx context.Context, reg *be.Registry, o share.RemoveOptions) error {
	plan, err := app.shares.PlanRemove(o)
	if err != nil {
		return err
	}
	switch {
	case plan.Back && app.would("put what is in the share %s back into %s", plan.Share.Name, plan.Share.Path),
		!plan.Back && app.would("delete the share %s", plan.Share.Name):
		return nil
	}
	release, err := app.hold(ctx, reg, plan.Running)
	if err != nil {
		return err
	}
	defer release()
	if err := app.shares.Remove(ctx, plan); err != nil {
		return err
	}
	switch _, err := app.shares.Find(plan.Share.Name); {
	case !plan.Back:
		app.notice().Say("The share %s is deleted.", plan.Share.Name)
	case errors.Is(err, share.ErrNotFound):
		app.notice().Say("%s is a directory of the running system again.", plan.Share.Path)
	default:
		app.notice().Say("%s is a directory of the running system again. The share %s stays, for %s.", plan.Share.Path, plan.Share.Name, namesOf(plan.Others))
	}
	return nil
}
