package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/txn"
)

func newRun(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "run NAME -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a boot environment",
		Long: `Run a command in a boot environment that is not running, in the sandbox in
which upgrades run: it sees no process of the running system, starts no
service, and writes nothing but the boot environment. Its exit status is
apt-be's.`,
		Args: takes(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.runIn(cmd.Context(), args[0], args[1:])
		},
	}
}

func newShell(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "shell NAME",
		Short: "Run a shell in a boot environment",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			shell := os.Getenv("SHELL")
			if shell == "" {
				shell = "/bin/sh"
			}
			return app.runIn(cmd.Context(), args[0], []string{shell})
		},
	}
}

// runIn runs a command in the sandbox of an existing environment.
func (app *App) runIn(ctx context.Context, name string, argv []string) error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	if e.Running {
		return fmt.Errorf("cannot run a command in %s: %w: it is the running one", name, be.ErrProtected)
	}
	if app.options.DryRun {
		app.notice().Say("Would run %s in %s.", strings.Join(argv, " "), name)
		return nil
	}
	lock, err := app.use(ctx, reg, e)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := app.touch(ctx, reg, e); err != nil {
		return err
	}
	root := redirect.Root{Name: e.Name, Subvolume: e.Subvolume.Path, UUID: e.Subvolume.UUID, ReadOnly: e.Subvolume.ReadOnly}
	path, err := lookInside(reg.Store().Path(e.Subvolume.Path), argv[0])
	if err != nil {
		return err
	}
	exit, err := app.supervisor(reg).Execute(root, path, argv, lock.File())
	if err != nil {
		return err
	}
	return ended{exit}
}

// touch notes that somebody works in an environment, so that no upgrade
// replaces it.
func (app *App) touch(ctx context.Context, reg *be.Registry, e be.Env) error {
	ctx, cancel := context.WithTimeout(ctx, app.Patience)
	defer cancel()
	release, err := reg.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return reg.Change(e, func(r *be.Record) { r.Touched = true })
}

// use marks an environment as in use, or says who uses it.
func (app *App) use(ctx context.Context, reg *be.Registry, e be.Env) (*txn.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, app.Patience)
	defer cancel()
	lock, err := reg.Use(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("cannot work in %s: %w", e.Name, err)
	}
	return lock, nil
}

// lookInside finds a command in the PATH of a root.
func lookInside(root, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	inside, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer inside.Close()
	for _, dir := range []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"} {
		path := filepath.Join(dir, name)
		// A link out of the root, by os.Root's strict reading, is for the kernel to follow inside.
		if info, err := inside.Lstat(path); err == nil && !info.IsDir() {
			return "/" + path, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			continue
		}
	}
	return "", fmt.Errorf("cannot run %s: there is no such command in the boot environment", name)
}
