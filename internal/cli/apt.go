package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/redirect"
)

// aptVerbs are the commands of apt-get that apt-be runs in a boot environment.
var aptVerbs = []string{
	"dist-upgrade", "full-upgrade", "upgrade", "install", "reinstall",
	"remove", "purge", "autoremove", "autopurge", "satisfy", "build-dep",
}

func newApt(app *App, verb string) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " [--in NAME | --name NAME] [APT-GET-OPTION-OR-PACKAGE...]",
		Short: "Run apt-get " + verb + " in a boot environment",
		Long: fmt.Sprintf(`Run apt-get %s in a new boot environment, or with --in in one that there
is. With --name the new one gets that name instead of the date. All other
arguments are apt-get's. Its exit status is apt-be's, but that an upgrade which
ended half-way is never 0.`, verb),
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, rest, err := splitAptArgs(args)
			if err != nil {
				return err
			}
			if own.help {
				return cmd.Help()
			}
			argv := append([]string{redirect.AptGet.String(), verb}, rest...)
			if own.in != "" {
				return app.aptIn(cmd.Context(), own.in, argv)
			}
			return app.aptNew(cmd.Context(), own.name, argv)
		},
	}
}

// aptArgs are apt-be's own among the arguments of an apt verb.
type aptArgs struct {
	in, name string
	help     bool
}

// splitAptArgs takes apt-be's own arguments out. They come before apt-get's
// "--", if there is one.
func splitAptArgs(args []string) (own aptArgs, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, value, joined := strings.Cut(arg, "=")
		switch {
		case arg == "--":
			return own, append(rest, args[i:]...), nil
		case arg == "--help" || arg == "-h":
			own.help = true
			continue
		case name != "--in" && name != "--name":
			rest = append(rest, arg)
			continue
		}
		if !joined {
			if i++; i == len(args) {
				return own, nil, usageError{fmt.Errorf("cannot make sense of that: %s wants the name of a boot environment", arg)}
			}
			value = args[i]
		}
		if err := be.CheckName(value); err != nil {
			return own, nil, usageError{err}
		}
		if name == "--in" {
			own.in = value
		} else {
			own.name = value
		}
	}
	if own.in != "" && own.name != "" {
		return own, nil, usageError{errors.New("cannot take both --in and --name")}
	}
	return own, rest, nil
}

func (app *App) aptNew(ctx context.Context, name string, argv []string) error {
	inv := redirect.Parse(redirect.AptGet, argv[1:], os.Environ()...)
	conf, err := aptconf.Read(ctx, aptconf.Query{Program: inv.Frontend.String(), Args: inv.ConfigArgs, Env: os.Environ()})
	if err != nil {
		return err
	}
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	if app.options.DryRun {
		app.notice().Say("Would run %s in a new boot environment.", strings.Join(argv, " "))
		return nil
	}
	exit, err := app.supervisor(reg).Upgrade(ctx, redirect.Job{
		Frontend:    redirect.AptGet,
		Argv:        argv,
		Made:        be.Command,
		Name:        name,
		LockTimeout: time.Duration(conf.Int("DPkg::Lock::Timeout", 0)) * time.Second,
		LeaveOut:    conf.List("Apt-Be::Nested::Leave-Out"),
	})
	if err != nil {
		return err
	}
	return ended{exit}
}

// aptIn runs apt-get in an environment that there is, as an admin would at a
// shell in it.
func (app *App) aptIn(ctx context.Context, name string, argv []string) error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	path, err := redirect.AptGet.RealPath(reg.Store().Path(e.Subvolume.Path))
	if err != nil {
		return err
	}
	return app.runIn(ctx, name, append([]string{path}, argv[1:]...))
}
