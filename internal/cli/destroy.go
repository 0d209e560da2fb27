package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

func newDestroy(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "destroy NAME...",
		Short: "Delete boot environments",
		Long: `Delete boot environments with their files. Protected are: the running one, the next
one, the default, kept and mounted ones, and the last blessed one. If the record of
one cannot be read, deleting it needs --accept-risk unreadable-record, because it may
be marked as kept.

If a boot environment contains a subvolume that exists nowhere else, such as another
tool's snapshot or a container, deleting both needs --accept-risk delete-nested.

--dry-run prints the freed space, for each one and for all of them together. Space
that several of them share is only freed with the last one.`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.destroy(cmd.Context(), reg, args)
			})
		},
	}
}

// destroy checks all names before it deletes the first environment.
func (app *App) destroy(ctx context.Context, reg *be.Registry, names []string) error {
	envs, err := app.destroyable(reg)
	if err != nil {
		return err
	}
	byName := map[string]be.Env{}
	for _, e := range envs {
		byName[e.Name] = e
	}
	for _, name := range names {
		if err := be.CheckDestroy(envs, name, app.inUse(reg)); err != nil {
			return fmt.Errorf("cannot destroy %s: %w", name, err)
		}
	}
	nested := map[string][]nestedJSON{}
	for _, name := range names {
		if nested[name], err = app.uniqueNested(reg, byName[name]); err != nil {
			return err
		}
		if err := app.checkNested(byName[name], nested[name]); err != nil {
			return err
		}
	}
	if app.options.DryRun {
		doomed := make([]be.Env, len(names))
		for i, name := range names {
			doomed[i] = byName[name]
		}
		return app.wouldDestroy(reg, envs, doomed, nested)
	}
	destroy := reg.Destroy
	if app.accepts(riskDeleteNested) {
		destroy = reg.DestroyWithNested
	}
	var errs []error
	for i, name := range names {
		// Check again: two environments may be the last blessed ones together.
		if i > 0 {
			if envs, err = app.destroyable(reg); err != nil {
				return err
			}
		}
		err := be.CheckDestroy(envs, name, app.inUse(reg))
		if err == nil {
			err = destroy(ctx, byName[name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot destroy %s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		if len(errs) < len(names) {
			return partly{err}
		}
		return err
	}
	return nil
}

// destroyable returns the environments for the rules. If the risk is accepted, an
// unreadable record does not protect its environment.
func (app *App) destroyable(reg *be.Registry) ([]be.Env, error) {
	envs, err := reg.List()
	for i := range envs {
		if app.accepts(be.RiskUnreadable) {
			envs[i].Unreadable = nil
		}
	}
	return envs, err
}

// destructionJSON is the output of destroy --dry-run --json.
type destructionJSON struct {
	Environments []destroyedJSON `json:"environments"`
	FreedSpace   *int64          `json:"freed_space,omitempty"`
}

// destroyedJSON is an environment that would be destroyed.
type destroyedJSON struct {
	Name       string       `json:"name"`
	FreedSpace *int64       `json:"freed_space,omitempty"`
	Nested     []nestedJSON `json:"nested,omitempty"`
}

// wouldDestroy prints the space that destroying environments would free. nested has the
// unique nested subvolumes of each, by name.
func (app *App) wouldDestroy(reg *be.Registry, envs, doomed []be.Env, nested map[string][]nestedJSON) error {
	space := app.space(reg, envs, logrus.WarnLevel)
	together := freedSpace(space, doomed...)
	if app.options.JSON {
		d := destructionJSON{Environments: []destroyedJSON{}, FreedSpace: together}
		for _, e := range doomed {
			d.Environments = append(d.Environments, destroyedJSON{e.Name, freedSpace(space, e), nested[e.Name]})
		}
		return ui.JSON(app.Stdout, d)
	}
	for _, e := range doomed {
		if bytes := freedSpace(space, e); bytes != nil {
			app.notice().Say("Would destroy %s. Freed space: %s.", e.Name, ui.Size(*bytes))
		} else {
			app.notice().Say("Would destroy %s.", e.Name)
		}
		for _, n := range nested[e.Name] {
			app.notice().Say("This also deletes the subvolume %v, which exists nowhere else.", n)
		}
	}
	if len(doomed) > 1 && together != nil {
		app.notice().Say("Freed space in total: %s.", ui.Size(*together))
	}
	return nil
}
