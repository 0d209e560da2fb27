package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// newMarkStale returns a verb that dpkg runs after it changed the running system.
func newMarkStale(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "mark-stale",
		Short:  "Mark the boot environments that a change of packages makes stale",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app.hook = true
			if app.live() && !host.OnMachine() {
				return nil // /run of a chroot may be the machine's
			}
			err := app.changeFromHook(cmd.Context(), func(reg *be.Registry) error { return app.markStale(cmd.Context(), reg) })
			if errors.Is(err, store.ErrUnsupported) {
				return noteNothingPending()
			}
			return err
		},
	}
}

// markStale prints which pending environments a change made stale. If none is left, it
// disables dpkg's hook.
func (app *App) markStale(ctx context.Context, reg *be.Registry) error {
	l, _ := app.lifecycle(reg) // without a boot loader, no environment is armed
	stale, left, err := l.MarkStale(ctx)
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

// noteNothingPending makes dpkg's hook return early until an environment is pending
// again, or until a reboot.
func noteNothingPending() error {
	if err := os.MkdirAll(filepath.Dir(upgrade.NothingPending), 0o755); err != nil {
		return err
	}
	return os.WriteFile(upgrade.NothingPending, nil, 0o644)
}
