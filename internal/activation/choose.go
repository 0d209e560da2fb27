package activation

import (
	"slices"

	"github.com/apt-be/apt-be/internal/be"
)

// Choose is SetDefault for somebody who may think better of it: Stay takes it
// back, until the machine has booted what was chosen.
func (a *Activator) Choose(e be.Env) error {
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	name, err := a.Loader.Default()
	if err != nil {
		return err
	}
	// What was chosen before and not booted since is passed over.
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

// Deactivate takes back what Arm and Choose did, and returns the name of what the next
// boot takes.
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

// AfterDeactivate returns what the next boot would take after Stay, if that is an
// environment that is known, and whether another one was chosen to boot instead.
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
		// That the machine has left what it was by now is not to be taken back.
		if e.Record.WasDefault && e.Running {
			return e, e.Name != name, nil
		}
	}
	if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Name == name }); i >= 0 {
		e = envs[i]
	}
	return e, false, nil
}

// settleChoice forgets what there was before a choice: it can't be taken back any more.
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
