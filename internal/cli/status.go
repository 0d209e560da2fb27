package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/lifecycle"
	"github.com/apt-be/apt-be/internal/ui"
)

// statusJSON is the output of status --json.
type statusJSON struct {
	Running  envJSON           `json:"running"`
	Next     *envJSON          `json:"next"`
	Pending  []envJSON         `json:"pending"`
	Failed   []envJSON         `json:"failed"`
	FellBack []envJSON         `json:"fell_back"`
	Drift    *driftSummaryJSON `json:"drift"`
	Fallback *levelJSON        `json:"fallback"`
}

// driftSummaryJSON counts the changes in the running system since the pending environment
// was made.
type driftSummaryJSON struct {
	Name     string       `json:"name"`
	Packages bool         `json:"packages"`
	Files    drift.Counts `json:"files"`
}

// levelJSON is a fallback level.
type levelJSON struct {
	Loader string     `json:"loader"`
	Level  boot.Level `json:"level"`
	Why    string     `json:"why"`
}

func newStatus(app *App) *cobra.Command {
	var acknowledge bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running, the next and the pending boot environments",
		Long: `Show the running, the next and the pending boot environments.

After a fallback the exit status is 14, until you acknowledge the fallback.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if acknowledge {
				return app.change(cmd.Context(), app.acknowledge)
			}
			return app.look(app.showStatus)
		},
	}
	cmd.Flags().BoolVar(&acknowledge, "acknowledge", false, "acknowledge a fallback")
	return cmd
}

func (app *App) acknowledge(reg *be.Registry) error {
	envs, err := reg.List()
	if err != nil {
		return err
	}
	for _, e := range lifecycle.Unacknowledged(envs) {
		if app.options.DryRun {
			app.notice().Say("Would acknowledge the fallback from %s.", e.Name)
			continue
		}
		if err := reg.Change(e, func(r *be.Record) { r.Acknowledged = true }); err != nil {
			return err
		}
	}
	if app.options.DryRun {
		return nil
	}
	return app.announce(reg)
}

func (app *App) showStatus(reg *be.Registry, envs []be.Env) error {
	space := app.space(reg, envs, logrus.DebugLevel)
	if app.options.JSON {
		if err := ui.JSON(app.Stdout, app.statusJSON(reg, envs, space)); err != nil {
			return err
		}
	} else {
		app.printStatus(reg, envs)
		app.printSpace(envs, space)
	}
	if len(lifecycle.Unacknowledged(envs)) > 0 {
		return errFellBack
	}
	return nil
}

// fallback returns the fallback level of this machine, or nil if apt-be init was not
// run.
func (app *App) fallback() *levelJSON {
	act, err := app.activator()
	if errors.Is(err, be.ErrNotSetUp) {
		return nil
	}
	if err != nil {
		return &levelJSON{Level: boot.LevelNone, Why: err.Error()}
	}
	level, why := act.Loader.Level()
	return &levelJSON{act.Loader.String(), level, why}
}

// driftOfPending counts the changes since the youngest pending environment was made. It
// returns nil if there is none, or if that fails.
func (app *App) driftOfPending(reg *be.Registry) *driftSummaryJSON {
	e, err := driftOf(reg, nil)
	if err != nil {
		return nil
	}
	l, err := catchup.PairOf(reg, e)
	if err != nil || !l.Source.Running {
		return nil
	}
	packages, err := l.PackagesChanged()
	var found *drift.Drift
	if err == nil {
		found, err = l.Drift()
	}
	if err != nil {
		app.Log.WithError(err).Warnf("cannot determine the changes since %s was made", e.Name)
		return nil
	}
	return &driftSummaryJSON{e.Name, packages, found.Count()}
}

func (app *App) statusJSON(reg *be.Registry, envs []be.Env, space *be.Space) statusJSON {
	s := statusJSON{Pending: []envJSON{}, Failed: []envJSON{}, FellBack: []envJSON{}, Drift: app.driftOfPending(reg), Fallback: app.fallback()}
	for _, e := range envs {
		j := app.toJSON(reg, e)
		j.FreedSpace = freedSpace(space, e)
		if e.Running {
			s.Running = j
		}
		if e.Next {
			s.Next = &j
		}
		if e.Pending() {
			s.Pending = append(s.Pending, j)
		}
		if e.Record.State == be.Failed {
			s.Failed = append(s.Failed, j)
		}
		if e.Record.State == be.FellBack {
			s.FellBack = append(s.FellBack, j)
		}
	}
	return s
}

func (app *App) printStatus(reg *be.Registry, envs []be.Env) {
	line := func(what, format string, args ...any) {
		app.line("%-12s %s", what, fmt.Sprintf(format, args...))
	}
	for _, e := range envs {
		switch {
		case e.Running && e.Record.State == be.Trying:
			line("running", "%s, %s, on trial", e.Name, dash(e.Record.Title))
		case e.Running:
			line("running", "%s, %s", e.Name, dash(e.Record.Title))
		}
	}
	for _, e := range envs {
		switch {
		case e.Armed:
			line("next", "%s, on trial", e.Name)
		case e.Next:
			line("next", "%s", e.Name)
		}
	}
	if len(envs) > 0 && envs[0].DefaultErr != nil {
		line("next", "unknown: %v", envs[0].DefaultErr)
	}
	for _, e := range envs {
		switch {
		case e.Pending():
			line("pending", "%s, %s, %s, %s old", e.Name, dash(e.Record.Title),
				e.Record.Changes.Summary(), ui.Age(time.Since(e.Record.Created)))
			if why, again := app.held(reg, e); why != "" {
				line("", "it was not booted: %s", why)
				line("", "%s tries again", again)
			}
		case e.Record.State == be.Failed:
			line("failed", "%s, %s old: %s", e.Name, ui.Age(time.Since(e.Record.Created)), e.Record.Reason)
		case e.Record.State == be.FellBack:
			line("fell back", "%s: %s", e.Name, e.Record.Reason)
			if journal := reg.Store().Path(be.FailedDir(e.Subvolume.UUID)); exists(journal) {
				line("", "its journal: /var/lib/apt-be/failed/%s/journal.txt", e.Subvolume.UUID)
			}
			if !e.Record.Acknowledged {
				line("", "to acknowledge the fallback, run apt-be status --acknowledge")
			}
		}
	}
	if d := app.driftOfPending(reg); d != nil {
		text := cmp.Or(d.Files.String(), "no file differs")
		if d.Packages {
			text += "; packages were changed"
		}
		line("drift", "since %s was made, %s", d.Name, text)
	}
	if f := app.fallback(); f != nil {
		line("fallback", "%s: %s", f.Level, f.Why)
	} else {
		line("fallback", "none: the boot menu is not set up (apt-be init)")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
