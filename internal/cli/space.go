package cli

import (
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// space computes the disk usage of all environments. If that fails, it logs the error
// and returns nil, because nothing else depends on it.
func (app *App) space(reg *be.Registry, envs []be.Env, level logrus.Level) *be.Space {
	space, err := reg.Space(envs)
	if err != nil {
		app.Log.Log(level, err)
		return nil
	}
	return space
}

// freedSpace returns the bytes that destroying environments would free, or nil if
// unknown.
func freedSpace(space *be.Space, envs ...be.Env) *int64 {
	if space == nil {
		return nil
	}
	bytes := int64(space.Freed(envs...))
	return &bytes
}

// freesCell formats the freed space for a table.
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

// printSpace prints the space that destroying the environments that do not run would
// free.
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
