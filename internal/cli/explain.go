package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

func newExplain(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "explain -- COMMAND [ARGUMENT...]",
		Short: "Explain where an apt-get command would run, and why",
		Long: `Explain where a command line of apt-get, apt, aptitude or unattended-upgrade would
run: in a new boot environment or in the running system. It prints the rule, the
settings that the rule reads with file and line, and what would stop an upgrade. It
runs nothing. With APT_BE_DEBUG=1 (or a file name) in the environment, apt-get and the
others explain themselves while they run.`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, ok := frontend.FrontendOf(args[0])
			if !ok {
				return usageError{fmt.Errorf("cannot explain %s: apt-be explains apt-get, apt, aptitude and unattended-upgrade", args[0])}
			}
			w := &upgrade.Wrapper{Facts: host.Facts(), Open: app.openUpgrader, Warn: func(error) {}, Log: app.Log}
			x := w.Explain(cmd.Context(), f, args)
			if app.options.JSON {
				return ui.JSON(app.Stdout, x)
			}
			app.printExplanation(args, x)
			return nil
		},
	}
}

// openUpgrader opens the store for an explanation.
func (app *App) openUpgrader() (*upgrade.Upgrader, error) {
	if !app.live() {
		return nil, errors.New("only the running system redirects commands")
	}
	reg, _, err := app.openRegistry() // the explanation closes the store
	if err != nil {
		return nil, err
	}
	return app.upgrader(reg), nil
}

func (app *App) printExplanation(args []string, x upgrade.Explanation) {
	where := "in the running system"
	if x.Redirect {
		where = "in a new boot environment"
	}
	app.line("%s runs %s: %s.", strings.Join(args, " "), where, x.Reason)
	for _, s := range x.Settings {
		if s.Place == "" {
			app.line("  %s", s)
		} else {
			app.line("  %s (%s)", s, s.Place)
		}
	}
	for _, obstacle := range x.Obstacles {
		app.line("It would stop: %s.", strings.TrimRight(obstacle, "."))
	}
}
