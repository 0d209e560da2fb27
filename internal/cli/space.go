package cli

import (
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// space accounts for the space of all environments. Where that can't be done it
// logs why, and returns nil: nothing else depends on it.
func (app *App) space(reg *be.Registry, envs []be.Env, level logrus.Level) *be.Space {
	space, err := reg.Space(envs)
	if err != nil {
		app.Log.Log(level, err)
		return nil
	}
	return space
}

// freedSpace is what destroying environments would free, in bytes; nil if that is
// not known.
func freedSpace(space *be.Space, envs ...be.Env) *int64 {
	if space == nil {
		return nil
	}
	bytes := int64(space.Freed(envs...))
	return &bytes
}

// freesCell is the same in a table.
func (app *App) freesCell(space *be.Space, e be.Env) string {
	bytes := freedSpace(space, e)
	switch {
	case bytes == nil:
		return "-"
	case app.options.Plain:
		return fmt.Sprint(*bytes)
	}
	return ui.Size(*bytes)
}

// printSpace tells what destroying what does not run would free.
func (app *App) printSpace(envs []be.Env, space *be.Space) {
	label := "space"
	var idle []be.Env
	for _, e := range envs {
		if !e.Running && space != nil {
			idle = append(idle, e)
			app.line("%-12s destroying %s: freed space %s", label, e.Name, app.freesCell(space, e))
			label = ""
		}
	}
	if len(idle) > 1 {
		app.line("%-12s destroying these %d: freed space %s", label, len(idle), ui.Size(*freedSpace(space, idle...)))
	}
}
