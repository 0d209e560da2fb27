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
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/upgrade"
)

func newRun(app *App) *cobra.Command {
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "run [-r] NAME -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a boot environment",
		Long: `Run a command in a boot environment that is not running, in the same sandbox as
upgrades: the command sees no process of the running system, starts no service, and
can only write to the boot environment. It has the machine's network until dpkg runs
in it, for example by apt-get; see the setting Apt-Be::Sandbox::Network. The exit
status is the command's.

After this, a pending boot environment counts as modified by hand, and no upgrade
replaces it. With --read-only the command cannot change it, and it does not count as
modified.`,
		Args: takes(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, argv := args[0], args[1:]
			if argv[0] == "--" {
				argv = argv[1:]
			}
			if len(argv) == 0 || strings.HasPrefix(argv[0], "-") {
				return takes(0, 0)(cmd, args)
			}
			return app.runIn(cmd.Context(), name, readOnly, argv, lookInside)
		},
	}
	readOnlyFlag(cmd, &readOnly)
	// Options after the command belong to the command.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func newShell(app *App) *cobra.Command {
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "shell [-r] NAME",
		Short: "Run a shell in a boot environment",
		Long:  "Run a shell in a boot environment that is not running, as apt-be run does.",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			shell := os.Getenv("SHELL")
			if shell == "" {
				shell = "/bin/sh"
			}
			return app.runIn(cmd.Context(), args[0], readOnly, []string{shell}, lookInside)
		},
	}
	readOnlyFlag(cmd, &readOnly)
	return cmd
}

func readOnlyFlag(cmd *cobra.Command, readOnly *bool) {
	cmd.Flags().BoolVarP(readOnly, "read-only", "r", false, "allow no changes of the boot environment")
}

// runIn runs a command in the sandbox of an existing environment. find returns the
// command's path in the root file system at a directory.
func (app *App) runIn(ctx context.Context, name string, readOnly bool, argv []string, find func(root, command string) (path string, err error)) error {
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
	path, err := find(reg.Store().Path(e.Subvolume.Path), argv[0])
	if err != nil {
		return err
	}
	root := inside.Root{Name: e.Name, Subvolume: e.Subvolume.Path, UUID: e.Subvolume.UUID, ReadOnly: readOnly || e.Subvolume.ReadOnly, Parts: e.Record.Parts}
	if !root.ReadOnly {
		if err := app.touch(ctx, reg, e); err != nil {
			return err
		}
	}
	exit, err := app.launcher(reg).Execute(root, path, argv, lock.File())
	if err != nil {
		return err
	}
	if !root.ReadOnly {
		if err := app.describe(ctx, reg, e); err != nil {
			app.Log.WithError(err).Warnf("cannot record the changes in %s", e.Name)
		}
	}
	return ended{exit}
}

// touch records that a user works in an environment, so that no upgrade replaces it.
func (app *App) touch(ctx context.Context, reg *be.Registry, e be.Env) error {
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	return reg.Change(e, func(r *be.Record) { r.Modified = true })
}

// describe updates the record of an environment after a user worked in it: its title,
// its kernels, and the number of packages that differ from its base.
func (app *App) describe(ctx context.Context, reg *be.Registry, e be.Env) error {
	edit, readErr := describe(reg, e) // this takes long, so it runs without the lock
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	err = reg.Change(e, edit)
	app.refresh()
	return errors.Join(readErr, err)
}

// describe returns a function that updates the record of an environment, with the data
// that could be read.
func describe(reg *be.Registry, e be.Env) (edit func(*be.Record), err error) {
	identified, identifyErr := reg.Identify(e)
	changes, changesErr := changesOf(reg, e)
	edit = func(r *be.Record) {
		if identifyErr == nil {
			r.Title, r.Kernels = identified.Record.Title, identified.Record.Kernels
		}
		if changesErr == nil {
			r.Changes = changes
		}
	}
	if errors.Is(changesErr, be.ErrNotFound) {
		changesErr = nil
	}
	return edit, errors.Join(identifyErr, changesErr)
}

// changesOf counts the packages that differ between an environment and its base. It
// returns be.ErrNotFound if there is no base.
func changesOf(reg *be.Registry, e be.Env) (be.Changes, error) {
	base, err := reg.BaseOf(e)
	if err != nil {
		return be.Changes{}, err
	}
	before, err := pkgdb.Read(reg.Store().Path(base.Path))
	if err != nil {
		return be.Changes{}, err
	}
	after, err := pkgdb.Read(reg.Dir(e))
	if err != nil {
		return be.Changes{}, err
	}
	diff, err := pkgdb.Compare(before, after)
	return upgrade.Count(diff), err
}

// use marks an environment as in use. If it fails, the error names the user.
func (app *App) use(ctx context.Context, reg *be.Registry, e be.Env) (*txn.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, app.Patience)
	defer cancel()
	lock, err := reg.Use(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("cannot work in %s: %w", e.Name, err)
	}
	return lock, nil
}

// lookInside searches the PATH of a root for a command.
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
		// os.Root rejects links that it takes for leaving the root; inside, the kernel
		// resolves them.
		if info, err := inside.Lstat(path); err == nil && !info.IsDir() {
			return "/" + path, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			continue
		}
	}
	return "", fmt.Errorf("cannot run %s: the boot environment has no such command", name)
}
