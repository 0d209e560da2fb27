package cli

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// envJSON is an environment in --json. docs/json.md describes it.
type envJSON struct {
	Name       string      `json:"name"`
	State      be.State    `json:"state"`
	Flags      string      `json:"flags"`
	Running    bool        `json:"running"`
	Next       bool        `json:"next"`
	Kept       bool        `json:"kept"`
	Bootable   bool        `json:"bootable"`
	Created    time.Time   `json:"created"`
	CreatedBy  be.Creator  `json:"created_by"`
	Origin     string      `json:"origin,omitempty"`
	Title      string      `json:"title,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	HoldReason string      `json:"hold_reason,omitempty"`
	Trial      *trialJSON  `json:"trial,omitempty"`
	Command    []string    `json:"command,omitempty"`
	Subvolume  string      `json:"subvolume"`
	UUID       string      `json:"uuid"`
	Mounted    []string    `json:"mounted"`
	Changes    be.Changes  `json:"changes"`
	Kernels    []be.Kernel `json:"kernels"`
	LeftOut    []string    `json:"left_out,omitempty"`
	FreedSpace *int64      `json:"freed_space,omitempty"`
}

// trialJSON is a trial that is armed, under way or has failed.
type trialJSON struct {
	Method  be.Method  `json:"method"`
	Once    bool       `json:"once"`
	Armed   time.Time  `json:"armed"`
	Started *time.Time `json:"started,omitempty"`
	Fault   *be.Fault  `json:"fault,omitempty"`
}

func toTrialJSON(t *be.Trial) *trialJSON {
	if t == nil {
		return nil
	}
	j := &trialJSON{Method: t.Method, Once: t.Once, Armed: t.Armed, Fault: t.Fault}
	if !t.Started.IsZero() {
		j.Started = &t.Started
	}
	return j
}

func (app *App) toJSON(reg *be.Registry, e be.Env) envJSON {
	j := envJSON{
		Name:      e.Name,
		State:     e.ShownState(),
		Flags:     e.Flags(),
		Running:   e.Running,
		Next:      e.Next,
		Kept:      e.Record.Kept,
		Bootable:  e.Bootable(),
		Created:   e.Record.Created,
		CreatedBy: e.Record.CreatedBy,
		Origin:    e.Record.Origin,
		Title:     e.Record.Title,
		Reason:    e.Record.Reason,
		Trial:     toTrialJSON(e.Record.Trial),
		Command:   e.Record.Command,
		Subvolume: e.Subvolume.Path,
		UUID:      e.Subvolume.UUID,
		Mounted:   app.Mounted(reg.Store(), e),
		Changes:   e.Record.Changes,
		Kernels:   e.Record.Kernels,
		LeftOut:   e.Record.LeftOut,
	}
	j.HoldReason, _ = app.held(reg, e)
	if j.Mounted == nil {
		j.Mounted = []string{}
	}
	if j.Kernels == nil {
		j.Kernels = []be.Kernel{}
	}
	return j
}

func newList(app *App) *cobra.Command {
	var space bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the boot environments",
		Long: `List the boot environments, oldest first.

Flags: N running now, R next boot, T on trial, B blessed, K kept, F failed.

-s adds the space that destroying each one would free. Space that several share is
only freed with the last of them; apt-be destroy --dry-run computes that for a set.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return app.look(func(reg *be.Registry, envs []be.Env) error {
				return app.printList(reg, envs, space)
			})
		},
	}
	cmd.Flags().BoolVarP(&space, "space", "s", false, "show the space that destroying each one would free")
	return cmd
}

// look opens the registry for reading.
func (app *App) look(show func(reg *be.Registry, envs []be.Env) error) error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	envs, err := reg.List()
	if err != nil {
		return err
	}
	for _, e := range envs[:min(1, len(envs))] {
		if e.DefaultErr != nil && app.attachErr == nil {
			app.Log.Warnf("the default is unknown: %v", e.DefaultErr)
		}
	}
	return show(reg, envs)
}

func (app *App) printList(reg *be.Registry, envs []be.Env, withSpace bool) error {
	var space *be.Space // nil: not requested, or not available
	if withSpace {
		space = app.space(reg, envs, logrus.WarnLevel)
	}
	if app.options.JSON {
		list := make([]envJSON, len(envs))
		for i, e := range envs {
			list[i] = app.toJSON(reg, e)
			list[i].FreedSpace = freedSpace(space, e)
		}
		return ui.JSON(app.Stdout, map[string]any{"environments": list})
	}
	header := []string{"NAME", "FLAGS", "STATE", "CREATED", "SYSTEM", "PACKAGES"}
	if withSpace {
		header = append(header, "FREED")
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, header...)
	for _, e := range envs {
		created := e.Record.Created.Local().Format("2006-01-02 15:04")
		packages := "-"
		if e.Record.Origin != "" {
			packages = e.Record.Changes.Summary()
		}
		if e.Record.CreatedBy == be.Guard {
			packages = "as before an upgrade"
		}
		if app.options.Plain {
			created = fmt.Sprint(e.Record.Created.Unix())
			packages = fmt.Sprint(e.Record.Changes.Total())
		}
		cells := []string{e.Name, dash(e.Flags()), string(e.ShownState()), created, dash(e.Record.Title), packages}
		if withSpace {
			cells = append(cells, app.freesCell(space, e))
		}
		table.Row(cells...)
	}
	return table.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
