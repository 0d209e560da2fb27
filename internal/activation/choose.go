package activation

import (
	"slices"

	"github.com/apt-be/apt-be/internal/be"
)

// Choose is SetDefault with a way back: Deactivate reverses it until the machine has
// booted the chosen environment.
func (a *Activator) Choose(e be.Env) error {
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	name, err := a.Loader.Default()
	if err != nil {
		return err
	}
	// An earlier choice that was never booted is skipped.
	i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Record.WasDefault })
	if i < 0 {
		i = slices.IndexFunc(envs, func(e be.Env) bool { return e.Name == name })
	}
	if err := a.SetDefault(e); err != nil {
		return err
	}
	if i < 0 || envs[i].Name == e.Name {
		return nil
	}
	return a.Registry.Change(envs[i], func(r *be.Record) { r.WasDefault = true })
}

// Deactivate reverses Arm and Choose, and returns the name of the environment that the
// next boot takes.
func (a *Activator) Deactivate() (name string, err error) {
	if err := a.Disarm(); err != nil {
		return "", err
	}
	e, chosen, err := a.AfterDeactivate()
	if err == nil && chosen {
		err = a.SetDefault(e)
	}
	if err != nil {
		return "", err
	}
	if e.Name != "" {
		return e.Name, nil
	}
	return a.Loader.Default()
}

// AfterDeactivate returns the environment that the next boot would take after
// Deactivate, if it is known, and whether another one was chosen.
func (a *Activator) AfterDeactivate() (e be.Env, chosen bool, err error) {
	envs, err := a.Registry.List()
	if err != nil {
		return e, false, err
	}
	name, err := a.Loader.Default()
	if err != nil {
		return e, false, err
	}
	for _, e := range envs {
		// A default that the machine has already left cannot come back.
		if e.Record.WasDefault && e.Running {
			return e, e.Name != name, nil
		}
	}
	if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Name == name }); i >= 0 {
		e = envs[i]
	}
	return e, false, nil
}

// settleChoice forgets the default before a choice. Deactivate cannot reverse the
// choice afterwards.
func (a *Activator) settleChoice(envs []be.Env) error {
	for _, e := range envs {
		if !e.Record.WasDefault {
			continue
		}
		if err := a.Registry.Change(e, func(r *be.Record) { r.WasDefault = false }); err != nil {
			return err
		}
	}
	return nil
}
