package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// statusJSON is what status --json prints.
type statusJSON struct {
	Running envJSON   `json:"running"`
	Next    *envJSON  `json:"next"`
	Pending []envJSON `json:"pending"`
	Failed  []envJSON `json:"failed"`
}

func newStatus(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell what runs, what boots next and what waits",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return app.look(app.showStatus) },
	}
}

func (app *App) showStatus(reg *be.Registry, envs []be.Env) error {
	if app.options.JSON {
		return ui.JSON(app.Stdout, app.statusJSON(reg, envs))
	}
	app.printStatus(envs)
	return nil
}

func (app *App) statusJSON(reg *be.Registry, envs []be.Env) statusJSON {
	s := statusJSON{Pending: []envJSON{}, Failed: []envJSON{}}
	for _, e := range envs {
		j := app.toJSON(reg, e)
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
	}
	return s
}

func (app *App) printStatus(envs []be.Env) {
	for _, e := range envs {
		if e.Running {
			fmt.Fprintf(app.Stdout, "running  %s, %s\n", e.Name, dash(e.Record.Title))
		}
	}
	for _, e := range envs {
		if e.Next {
			fmt.Fprintf(app.Stdout, "next     %s\n", e.Name)
		}
	}
	for _, e := range envs {
		switch {
		case e.Pending():
			fmt.Fprintf(app.Stdout, "pending  %s, %s, %s, %s\n", e.Name, dash(e.Record.Title),
				e.Record.Changes.Summary(), ui.Age(time.Since(e.Record.Created))+" old")
			if e.ShownState() == be.Armed {
				fmt.Fprintf(app.Stdout, "         it is in the boot menu\n")
			}
		case e.ShownState() == be.Armed:
			fmt.Fprintf(app.Stdout, "armed    %s, %s: it is in the boot menu\n", e.Name, dash(e.Record.Title))
		case e.Record.State == be.Failed:
			fmt.Fprintf(app.Stdout, "failed   %s, %s: %s\n", e.Name, ui.Age(time.Since(e.Record.Created))+" old", e.Record.Reason)
		}
	}
}
