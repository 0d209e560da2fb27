package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/upgrade"
)

func newCreate(app *App) *cobra.Command {
	var origin string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a boot environment from the running one or from another",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.create(cmd.Context(), args[0], origin)
		},
	}
	cmd.Flags().StringVarP(&origin, "environment", "e", "", "the boot environment to copy, instead of the running one")
	return cmd
}

func (app *App) create(ctx context.Context, name, originName string) error {
	if err := be.CheckName(name); err != nil {
		return usageError{fmt.Errorf("cannot create: %w", err)}
	}
	config := app.readConfigMeanwhile(ctx)
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	origin, err := findOrigin(reg, originName)
	if err != nil {
		return err
	}
	if app.options.DryRun {
		if err := reg.CheckFree(name); err != nil {
			return fmt.Errorf("cannot create %s: %w", name, err)
		}
		app.notice().Say("Would create %s from %s.", name, origin.Name)
		return nil
	}
	unlock, err := app.hold(ctx, reg, origin)
	if err != nil {
		return err
	}
	defer unlock()
	conf, err := config()
	if err != nil {
		return err
	}
	if _, err := conf.Policy(); err != nil {
		app.notice().Warn("%v", err)
		app.notice().Hint("%s", Hint(err))
	}
	own, err := parts.Of(reg, origin)
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", name, err)
	}
	build, err := app.begin(ctx, reg, be.BuildOptions{
		Name: name, Origin: origin, CreatedBy: be.User, LeaveOut: conf.List(upgrade.LeaveOut), Parts: own,
	})
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", name, err)
	}
	root := reg.Store().Path(build.Path)
	if err := rootconf.SetRoot(reg.Store(), build.Path, be.EnvDir+"/"+name, own); err != nil {
		return errors.Join(err, build.Discard(ctx))
	}
	id, err := rootconf.Identify(root)
	if err != nil {
		app.Log.WithError(err).Warnf("cannot identify the system in %s", name)
	}
	swap := upgrade.GiveSwap(reg.Store(), build, origin.Subvolume.Path)
	_, err = build.Commit(ctx, be.Ready, func(r *be.Record) { r.Title, r.Kernels = id.Title, id.Kernels })
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", name, err)
	}
	for _, place := range build.HiddenParts {
		app.notice().Say("Files below the mount point %s are in %s%s there.", place, place, be.Hidden)
	}
	for _, path := range build.Record.LeftOut {
		app.notice().Say("The subvolume %s is not copied.", path)
	}
	for _, text := range swap {
		app.notice().Say("%s", text)
	}
	return nil
}

// readConfigMeanwhile starts to read apt's configuration, for which apt-config(8) takes
// longer than a snapshot, and returns a function that waits for the result.
func (app *App) readConfigMeanwhile(ctx context.Context) func() (aptconf.Config, error) {
	var conf aptconf.Config
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		conf, err = app.readConfig(ctx, aptconf.Query{})
	}()
	return func() (aptconf.Config, error) {
		<-read
		return conf, err
	}
}

func findOrigin(reg *be.Registry, name string) (be.Env, error) {
	if name == "" {
		return reg.Running()
	}
	return reg.Get(name)
}

// hold prevents changes of an environment while it is snapshotted: by dpkg's lock for
// the running one, by its use lock for another one.
func (app *App) hold(ctx context.Context, reg *be.Registry, e be.Env) (release func(), err error) {
	if e.Running {
		release, err := app.LockDpkg(app.options.Root)
		if err != nil {
			return nil, fmt.Errorf("cannot snapshot the running system while packages are installed: %w", err)
		}
		return release, nil
	}
	lock, err := app.use(ctx, reg, e)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}
