package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
)

// newMarkStale is what dpkg calls after it changed the running system.
func newMarkStale(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "mark-stale",
		Short:  "Mark the boot environments that a change of packages makes stale",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app.hook = true
			if app.live() && !redirect.OnMachine() {
				return nil // a chroot's /run may be the machine's
			}
			err := app.changeFromHook(cmd.Context(), func(reg *be.Registry) error { return app.markStale(reg) })
			if errors.Is(err, store.ErrUnsupported) {
				return noteNothingPending()
			}
			return err
		},
	}
}

// markStale tells which pending environments a change has made stale, in that
// very run, and takes away what makes dpkg call this if none is left.
func (app *App) markStale(reg *be.Registry) error {
	stale, left, err := app.makeStale(reg)
	if err != nil {
		return err
	}
	for _, name := range stale {
		app.notice().Say("The pending boot environment %s lacks this change and can no longer be booted. To make a new one, repeat the upgrade; to repeat the change in it, run apt-be activate %s --replay-packages", name, name)
	}
	if left {
		return nil
	}
	return noteNothingPending()
}

// noteNothingPending keeps dpkg's hook from asking again until there is an
// upgrade that waits, or a reboot.
func noteNothingPending() error {
	if err := os.MkdirAll(filepath.Dir(redirect.NothingPending), 0o755); err != nil {
		return err
	}
	return os.WriteFile(redirect.NothingPending, nil, 0o644)
}

// makeStale makes pending environments stale whose origin's packages changed,
// and takes them out of the boot menu. left says whether others are pending.
func (app *App) makeStale(reg *be.Registry) (stale []string, left bool, err error) {
	envs, err := reg.List()
	if err != nil {
		return nil, false, err
	}
	running, err := reg.Running()
	if err != nil {
		return nil, false, err
	}
	for _, e := range envs {
		if !e.Pending() || e.Record.OriginUUID != running.Subvolume.UUID {
			continue
		}
		changed, err := redirect.PackagesChanged(reg, e)
		if err != nil {
			return nil, false, err
		}
		if !changed {
			left = true
			continue
		}
		if e.Armed {
			if err := app.disarm(); err != nil {
				return nil, false, err
			}
		}
		err = reg.Change(e, func(r *be.Record) {
			r.State, r.Reason = be.Stale, "packages of the running system changed since it was made"
		})
		if err != nil {
			return nil, false, err
		}
		stale = append(stale, e.Name)
	}
	return stale, left, nil
}
