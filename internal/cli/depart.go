package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/overlay"
)

// destination returns the next environment, unless it is the running one.
func destination(reg *be.Registry, act *activation.Activator) (e be.Env, ok bool, err error) {
	if e, ok, err = act.Next(); err != nil || ok {
		return e, ok, err
	}
	envs, err := reg.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range envs {
		if e.Next && !e.Running {
			return e, true, nil
		}
	}
	return be.Env{}, false, nil
}

// depart does the last work before the machine leaves for an environment that is in
// sync: it takes share snapshots, and copies additions to other file systems. It
// reports errors, but they do not stop the machine.
func (app *App) depart(ctx context.Context, reg *be.Registry, name string) {
	e, err := reg.Get(name)
	if err == nil {
		err = app.settled(ctx, reg, func() error { return app.shares.Snapshot(ctx, e) })
	}
	if err != nil {
		app.Log.Warn(err)
	}
	app.addLayers(reg, e)
}

// addLayers copies the additions of an environment to other file systems. Repeating it
// does no harm.
func (app *App) addLayers(reg *be.Registry, e be.Env) {
	layers, err := app.layers(reg, e)
	if err != nil {
		app.Log.Warn(err)
	}
	for _, layer := range layers {
		if _, err := layer.Add(); err != nil {
			app.Log.Warn(err)
		}
	}
}

// layers returns the overlays of an environment whose file systems are mounted.
func (app *App) layers(reg *be.Registry, e be.Env) ([]overlay.Layer, error) {
	st := reg.Store()
	all, err := overlay.Layers(st.Path(be.ScratchDir(e.Subvolume.UUID)), app.options.Root, st.Path(e.Subvolume.Path))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	points, err := mounts.Points()
	if err != nil {
		return nil, err
	}
	var mounted []overlay.Layer
	for _, layer := range all {
		if _, ok := points[layer.Target]; ok {
			mounted = append(mounted, layer)
		}
	}
	return mounted, nil
}

// tellAdditions prints which files will be copied to other file systems, and which
// changes will not be applied.
func (app *App) tellAdditions(reg *be.Registry, e be.Env) error {
	layers, err := app.layers(reg, e)
	if err != nil {
		return err
	}
	for _, layer := range layers {
		found, err := layer.Find()
		if err != nil {
			return err
		}
		if n := len(found.Added); n > 0 {
			app.notice().Say("Files that the upgrade added to %s will be copied there when %s is booted: %s.", layer.Mount, e.Name, some(found.Added))
		}
		var reported []string
		for _, r := range found.Reported {
			reported = append(reported, fmt.Sprintf("%s (%s)", r.Path, r.Outcome))
		}
		if len(reported) > 0 {
			app.notice().Warn("Not applied to %s: %s.", layer.Mount, some(reported))
		}
	}
	return nil
}

// some returns a few of many names.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
