package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/redirect"
)

func newCreate(app *App) *cobra.Command {
	var origin string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a boot environment, of the running one or of another",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.create(cmd.Context(), args[0], origin)
		},
	}
	cmd.Flags().StringVarP(&origin, "environment", "e", "", "what to make it of, instead of the running one")
	return cmd
}

func (app *App) create(ctx context.Context, name, originName string) error {
	if err := be.CheckName(name); err != nil {
		return usageError{fmt.Errorf("cannot create: %w", err)}
	}
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	origin, unlock, err := app.origin(ctx, reg, originName)
	if err != nil {
		return err
	}
	defer unlock()
	if app.options.DryRun {
		if _, err := reg.Get(name); !errors.Is(err, be.ErrNotFound) {
			return errors.Join(err, fmt.Errorf("cannot create %s: %w", name, be.ErrExists))
		}
		app.notice().Say("Would create %s of %s.", name, origin.Name)
		return nil
	}
	build, recovered, err := reg.Begin(ctx, be.BuildOptions{Name: name, Origin: origin, Made: be.User})
	app.tellRecovered(recovered)
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", name, err)
	}
	root := reg.Store().Path(build.Path)
	if err := redirect.SetRoot(root, be.EnvDir+"/"+name); err != nil {
		return errors.Join(err, build.Discard(ctx))
	}
	id, err := redirect.Identify(root)
	if err != nil {
		app.Log.WithError(err).Warnf("cannot identify the system in %s", name)
	}
	_, err = build.Commit(ctx, be.Ready, func(r *be.Record) { r.Title, r.Kernels = id.Title, id.Kernels })
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", name, err)
	}
	for _, path := range build.Record.LeftOut {
		app.notice().Say("The subvolume %s is not in it.", path)
	}
	return nil
}

// origin finds what to snapshot, and keeps it as it is meanwhile: dpkg away
// from the running environment, other commands away from another one.
func (app *App) origin(ctx context.Context, reg *be.Registry, name string) (be.Env, func(), error) {
	e, err := reg.Running()
	if name != "" {
		e, err = reg.Get(name)
	}
	if err != nil {
		return e, nil, err
	}
	if e.Running {
		lock, err := dpkglock.Take()
		if err != nil {
			return e, nil, fmt.Errorf("cannot snapshot the running system while packages are installed: %w", err)
		}
		return e, lock.Release, nil
	}
	lock, err := app.use(ctx, reg, e)
	if err != nil {
		return e, nil, err
	}
	return e, lock.Release, nil
}
