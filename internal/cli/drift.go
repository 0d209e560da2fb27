package cli

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/ui"
)

// driftJSON is the output of drift --json.
type driftJSON struct {
	Name       string           `json:"name"`
	Packages   bool             `json:"packages"`
	Changes    []driftedJSON    `json:"changes"`
	Renumbered []renumberedJSON `json:"renumbered"`
}

type driftedJSON struct {
	Path     string        `json:"path"`
	Outcome  drift.Outcome `json:"outcome"`
	Conflict string        `json:"conflict,omitempty"`
	Rule     string        `json:"rule,omitempty"`
	Lost     []string      `json:"lost,omitempty"`
	Unit     string        `json:"unit,omitempty"`
	Note     string        `json:"note,omitempty"`
}

type renumberedJSON struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
}

func newDrift(app *App) *cobra.Command {
	var files bool
	cmd := &cobra.Command{
		Use:   "drift [NAME]",
		Short: "Show the changes of the running system since a boot environment was made",
		Long: `Show which files of the running system have changed since boot environment NAME, or
the pending one, was made from it, and the outcome of each change:

  carried   NAME gets the running system's version
  merged    NAME gets the changes of both systems
  conflict  both systems changed the file. One version is in place, the other is
            beside it: NAME's as FILE.apt-be-dist, the running system's as
            FILE.apt-be-running; or the lost part is shown
  skipped   NAME does not get the change; the reason or the rule is shown
  refused   both systems changed the file, and you have to decide

A repository or a database of many files counts as one file with one outcome.

This command changes nothing.`,
		Args: takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			reg, done, err := app.registry()
			if err != nil {
				return err
			}
			defer done()
			e, err := driftOf(reg, args)
			if err != nil {
				return err
			}
			return app.drift(reg, e, files)
		},
	}
	cmd.Flags().BoolVar(&files, "files", false, "show each file")
	return cmd
}

// driftOf returns the environment that args name, or the pending one.
func driftOf(reg *be.Registry, args []string) (be.Env, error) {
	if len(args) == 1 {
		return reg.Get(args[0])
	}
	envs, err := reg.List()
	if err != nil {
		return be.Env{}, err
	}
	for _, e := range slices.Backward(envs) {
		if e.Pending() {
			return e, nil
		}
	}
	return be.Env{}, errors.New("no boot environment is pending; name one")
}

func (app *App) drift(reg *be.Registry, e be.Env, files bool) error {
	l, err := pairOfRunning(reg, e)
	if err != nil {
		return err
	}
	found, err := l.Drift()
	if err != nil {
		return err
	}
	packages, err := l.PackagesChanged()
	if err != nil {
		return err
	}
	return app.tellDrift(e.Name, found, packages, files)
}

func (app *App) tellDrift(name string, d *drift.Drift, packages, files bool) error {
	if app.options.JSON {
		return ui.JSON(app.Stdout, describeDrift(name, d, packages))
	}
	if err := app.driftTable(d, files); err != nil {
		return err
	}
	if app.options.Plain {
		return nil
	}
	for _, c := range d.Changes {
		if (c.Conflict != "" || c.Note != "") && !files {
			app.line("/%s: %s", c.Path, why(c))
		}
		for _, lost := range c.Conflicts {
			app.line("/%s: both changed %s", c.Path, lost.What)
		}
	}
	for _, r := range d.Renumbered {
		app.line("%v", r)
	}
	if packages {
		app.line("Packages were installed, removed or upgraded in the running system. %s lacks these changes.", name)
	}
	return nil
}

func (app *App) driftTable(d *drift.Drift, files bool) error {
	if len(d.Changes) == 0 {
		if !app.options.Plain {
			app.line("no file differs")
		}
		return nil
	}
	if files {
		table := ui.NewTable(app.Stdout, app.options.Plain, "OUTCOME", "PATH", "REASON")
		for _, c := range d.Changes {
			table.Row(string(c.Outcome()), "/"+c.Path, dash(why(c)))
		}
		return table.Flush()
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "AREA", "CARRIED", "MERGED", "CONFLICT", "SKIPPED", "REFUSED")
	areas, counts := d.Areas()
	for _, area := range areas {
		row := []string{area}
		for _, fate := range drift.Outcomes {
			n := ""
			if counts[area][fate] > 0 || app.options.Plain {
				n = strconv.Itoa(counts[area][fate])
			}
			row = append(row, dash(n))
		}
		table.Row(row...)
	}
	return table.Flush()
}

// why returns the reason for a change's outcome: the conflict or the rule. For a unit
// it also names the unit.
func why(c drift.Change) string {
	reason := c.Conflict
	if reason == "" && c.Outcome() == drift.Skipped {
		reason = c.Rule.From
	}
	if c.Description == "" {
		return reason
	}
	words := []string{c.Description, reason, c.Note}
	if c.Conflict != "" {
		words[0] = "" // the reason names the unit
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ": ")
}

func describeDrift(name string, d *drift.Drift, packages bool) driftJSON {
	described := driftJSON{Name: name, Packages: packages, Changes: []driftedJSON{}, Renumbered: []renumberedJSON{}}
	for _, c := range d.Changes {
		drifted := driftedJSON{Path: "/" + c.Path, Outcome: c.Outcome(), Conflict: c.Conflict, Rule: c.Rule.From, Unit: c.Description, Note: c.Note}
		for _, lost := range c.Conflicts {
			drifted.Lost = append(drifted.Lost, lost.What)
		}
		described.Changes = append(described.Changes, drifted)
	}
	for _, r := range d.Renumbered {
		kind := "user"
		if r.Group {
			kind = "group"
		}
		described.Renumbered = append(described.Renumbered, renumberedJSON{r.Name, kind, r.From, r.To})
	}
	return described
}
