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
		Long: `Turn a directory of the running system into a share: a new subvolume with the same
files replaces it, without copying data, and all boot environments mount it from now
on. It hides files that they have at PATH themselves.

First stop the services that have files or sockets open there; the command lists them.
If the command is interrupted, or if files change meanwhile, nothing is changed.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !filepath.IsAbs(args[0]) {
				return usageError{fmt.Errorf("cannot make %s a share: not an absolute path", args[0])}
			}
			o.Path, o.OpenFiles = filepath.Clean(args[0]), app.accepts(share.RiskOpenFiles)
			return app.changeShares(cmd.Context(), func(ctx context.Context, reg *be.Registry) error {
				return app.withoutJournal(ctx, o.Path, func() error { return app.addShare(ctx, reg, o) })
			})
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "the name of the share, instead of one made from its path")
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

// tellHidden lists the environments whose own files the share hides.
func (app *App) tellHidden(plan *share.Addition, what string) {
	if len(plan.Hides) > 0 {
		app.notice().Say("The content of %s in %s itself %s.", plan.Path, namesOf(plan.Hides), what)
	}
	if len(plan.Without) > 0 {
		app.notice().Warn("%s cannot be changed and will not mount it.", namesOf(plan.Without))
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
		Short: "Move the data of a share back into the running system",
		Long: `Move the data of a share back into a directory of the running system. Other boot
environments continue to mount the share; if there are none, it is deleted.

Deleting a share that no boot environment mounts, with its data, needs
--accept-risk ` + share.RiskDeleteShare + `.`,
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
	case plan.Back && app.would("move the data of the share %s back into %s", plan.Share.Name, plan.Share.Path),
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
		app.notice().Say("%s is a plain directory of the running system again.", plan.Share.Path)
	default:
		app.notice().Say("%s is a plain directory of the running system again. The share %s stays for %s.", plan.Share.Path, plan.Share.Name, namesOf(plan.Others))
	}
	return nil
}
