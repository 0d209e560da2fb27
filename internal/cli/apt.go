package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/upgrade"
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
		Long: fmt.Sprintf(`Run apt-get %s in a new boot environment, or, with --in, in an existing one. With
--name the new one gets that name instead of the date. All other arguments are
passed to apt-get. The exit status is apt-get's, with one exception: if an upgrade
ended half-way, the new boot environment is kept as failed, and the exit status is
not 0. With --in, apt-be does not check the result.`, verb),
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, rest, err := splitAptArgs(args)
			if err != nil {
				return err
			}
			if own.help {
				return cmd.Help()
			}
			argv := append([]string{frontend.AptGet.String(), verb}, rest...)
			if err := app.checkReadable(); err != nil {
				return fmt.Errorf("cannot run apt-get %s: %w", verb, err)
			}
			if own.in != "" {
				return app.runIn(cmd.Context(), own.in, false, argv, func(root, _ string) (string, error) {
					return inside.RealPath(frontend.AptGet, root)
				})
			}
			return app.aptNew(cmd.Context(), own.name, argv)
		},
	}
}

// aptArgs are apt-be's own arguments of an apt verb.
type aptArgs struct {
	in, name string
	help     bool
}

// splitAptArgs separates apt-be's own arguments from apt-get's. apt-be's own precede
// apt-get's "--", if there is one.
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
				return own, nil, usageError{fmt.Errorf("%s needs the name of a boot environment", arg)}
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
		return own, nil, usageError{errors.New("cannot use both --in and --name")}
	}
	return own, rest, nil
}

func (app *App) aptNew(ctx context.Context, name string, argv []string) error {
	inv := frontend.Parse(frontend.AptGet, argv[1:], os.Environ()...)
	conf, err := app.readConfig(ctx, aptconf.Query{Program: inv.Frontend.String(), Args: inv.ConfigArgs})
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
	job, err := upgrade.JobOf(inv, argv, conf, be.Command)
	if err != nil {
		return err
	}
	job.Name = name
	exit, err := app.upgrader(reg).Upgrade(ctx, job)
	if err != nil {
		return err
	}
	return ended{exit}
}
