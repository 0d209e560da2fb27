package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// errNoLog reports that no upgrade made an environment.
var errNoLog = errors.New("no upgrade made it")

// logJSON is the output of log --json.
type logJSON struct {
	Name     string        `json:"name"`
	Upgrades []upgrade.Log `json:"upgrades"`
}

func newShowLog(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "log [NAME]",
		Short: "Show the logs of the upgrades that made a boot environment",
		Long: `Show the logs of the upgrades that made or extended boot environment NAME, or the
environment of the newest upgrade: the command, the exit status of apt-get and the
like, the verdict with its reason, the steps with their seconds, messages and warnings.`,
		Args: takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return app.look(func(reg *be.Registry, envs []be.Env) error { return app.showLog(reg, envs, args) })
		},
	}
}

func (app *App) showLog(reg *be.Registry, envs []be.Env, args []string) error {
	e, logs, err := logOf(reg, envs, args)
	if err != nil {
		return fmt.Errorf("cannot show a log: %w", err)
	}
	if app.options.JSON {
		return ui.JSON(app.Stdout, logJSON{e.Name, logs})
	}
	for i, log := range logs {
		if i > 0 {
			app.line("")
		}
		app.printLog(log)
	}
	return nil
}

// logOf returns the logs of the environment that args name, or of the one with the
// newest log.
func logOf(reg *be.Registry, envs []be.Env, args []string) (be.Env, []upgrade.Log, error) {
	if len(args) == 1 {
		e, err := reg.Get(args[0])
		if err != nil {
			return e, nil, err
		}
		logs, err := upgrade.Logs(reg.Store(), e)
		if err == nil && len(logs) == 0 {
			err = fmt.Errorf("%w: %s", errNoLog, e.Name)
		}
		return e, logs, err
	}
	var newest be.Env
	var found []upgrade.Log
	for _, e := range slices.Backward(envs) {
		logs, err := upgrade.Logs(reg.Store(), e)
		if err != nil {
			return e, nil, err
		}
		if len(logs) > 0 && (found == nil || logs[len(logs)-1].Started.After(found[len(found)-1].Started)) {
			newest, found = e, logs
		}
	}
	if found == nil {
		return be.Env{}, nil, errors.New("no boot environment is from an upgrade")
	}
	return newest, found, nil
}

func (app *App) printLog(log upgrade.Log) {
	app.line("%s  %s", log.Started.Local().Format(time.DateTime), strings.Join(log.Command, " "))
	end := fmt.Sprintf("exit status %d", log.ExitCode)
	if log.Signal != 0 {
		end = fmt.Sprintf("killed by signal %d", log.Signal)
	}
	app.line("  environment  %s", log.Environment)
	app.line("  frontend     %s", end)
	app.line("  verdict      %s: %s", log.Verdict, log.Reason)
	for _, step := range log.Steps {
		app.line("  %8.2f s   %s", step.Seconds, step.Name)
	}
	for _, text := range log.Messages {
		app.line("  message      %s", text)
	}
	for _, text := range log.Warnings {
		app.line("  warning      %s", text)
	}
}
