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

// destination is the environment that the machine goes to next, if that is not the
// one that runs.
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

// depart does what is left to do as the machine leaves for an environment, which
// is brought up to date: it keeps what shares are, and adds to other file systems
// what maintainer scripts added there in the sandbox. What fails is told, and no
// reason to stay.
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

// addLayers adds to other file systems what was added there in an environment. It
// may have been done before.
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

// layers are what was written in an environment to other file systems, of those
// that are mounted.
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

// tellAdditions says what becomes of what was written in an environment to other
// file systems.
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

// some names a few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
