package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
)

// mountDir is the directory of mount points that the user did not choose.
const mountDir = "/run/apt-be/mnt"

func newMount(app *App) *cobra.Command {
	var writable bool
	cmd := &cobra.Command{
		Use:   "mount NAME [DIRECTORY]",
		Short: "Mount a boot environment to inspect it",
		Long: "Mount a boot environment at a directory, or at one below " + mountDir + `, which only root can enter, and
print that directory. The mount is read-only without --writable. After a mount with
--writable, no upgrade replaces the boot environment while it is pending. Setuid
programs and device nodes have no effect there.`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.mount(reg, args[0], args[1:], writable)
			})
		},
	}
	cmd.Flags().BoolVarP(&writable, "writable", "w", false, "allow changes")
	return cmd
}

// mount mounts an environment at the directory in where, or at one below mountDir.
func (app *App) mount(reg *be.Registry, name string, where []string, writable bool) error {
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	dir := filepath.Join(mountDir, e.Name)
	if len(where) > 0 {
		if dir, err = filepath.Abs(where[0]); err != nil {
			return err
		}
	}
	if app.options.DryRun {
		app.notice().Say("Would mount %s at %s.", e.Name, dir)
		return nil
	}
	if len(where) == 0 {
		if at := app.Mounted(reg.Store(), e); len(at) > 0 && at[0] == dir {
			return fmt.Errorf("cannot mount %s: it is already mounted at %s", e.Name, dir)
		}
		err := mounts.MakePrivate(mountDir)
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err != nil {
			return fmt.Errorf("cannot mount %s: %w", e.Name, err)
		}
	}
	if writable {
		if err := reg.Change(e, func(r *be.Record) { r.Modified = true }); err != nil {
			return err
		}
	}
	if err := mounts.Mount(reg.Store().Device(), e.Subvolume.Path, dir, !writable); err != nil {
		return err
	}
	app.line("%s", dir)
	return nil
}

func newUnmount(app *App) *cobra.Command {
	return &cobra.Command{
		Use:     "unmount NAME",
		Aliases: []string{"umount"},
		Short:   "Unmount a boot environment",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.unmount(reg, args[0])
			})
		},
	}
}

func (app *App) unmount(reg *be.Registry, name string) error {
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	if e.Running {
		return fmt.Errorf("cannot unmount %s: %w: it is the running one", name, be.ErrProtected)
	}
	dirs := app.Mounted(reg.Store(), e)
	if len(dirs) == 0 {
		return fmt.Errorf("cannot unmount %s: it is not mounted", name)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if app.options.DryRun {
			app.notice().Say("Would unmount %s.", dirs[i])
			continue
		}
		if err := mounts.Unmount(dirs[i]); err != nil {
			return err
		}
		if filepath.Dir(dirs[i]) == mountDir {
			_ = os.Remove(dirs[i]) // if it is not empty, another process uses it
		}
	}
	if app.options.DryRun || !e.Record.Modified {
		return nil
	}
	edit, err := describe(reg, e)
	if err := errors.Join(err, reg.Change(e, edit)); err != nil {
		app.Log.WithError(err).Warnf("cannot record the changes in %s", e.Name)
	}
	return nil
}
