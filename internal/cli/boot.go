package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/lifecycle"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

func newBoot(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "boot",
		Short:  "Determine the results of trials; apt-be-boot.service runs it early in each boot",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if app.would("determine the results of trials") {
				return nil
			}
			if app.live() {
				if err := softreboot.ReleaseRoot(); err != nil {
					app.Log.WithError(err).Warn("setuid programs may have no effect")
				}
			}
			nonce, id, err := app.Booted()
			if err != nil {
				return err
			}
			leaving, err := app.catchUp(cmd.Context(), nonce)
			if errors.Is(err, store.ErrUnsupported) {
				return nil // the unit exists on every machine
			}
			if leaving {
				return err
			}
			began := false
			settle := func(reg *be.Registry) error {
				began = true
				return app.boot(cmd.Context(), reg, nonce, id)
			}
			err = errors.Join(err, app.changeFromHook(cmd.Context(), settle))
			if !began {
				// The message can be shown even on a full disk.
				err = errors.Join(err, app.tellOnly())
			}
			return err
		},
	}
}

// catchUp syncs the running environment early in its first boot, if it needs that.
func (app *App) catchUp(ctx context.Context, nonce string) (leaving bool, err error) {
	reg, done, err := app.registry()
	if err != nil {
		return false, err
	}
	defer done()
	l, err := app.lifecycle(reg)
	if errors.Is(err, be.ErrNotSetUp) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return l.CatchUp(ctx, nonce)
}

func (app *App) boot(ctx context.Context, reg *be.Registry, nonce, id string) error {
	l, err := app.lifecycle(reg)
	if errors.Is(err, be.ErrNotSetUp) {
		return app.announce(reg)
	}
	if err != nil {
		return err
	}
	booted, err := l.Boot(ctx, nonce, id)
	if booted.Trial {
		return err
	}
	return errors.Join(err, app.announce(reg))
}

// tellOnly is announce without settling anything.
func (app *App) tellOnly() error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	return app.announce(reg)
}

// announce writes the login message (pam_motd(8)) as long as a fallback is not
// acknowledged, or the user has to decide something.
func (app *App) announce(reg *be.Registry) error {
	envs, err := reg.List()
	if err != nil {
		return err
	}
	if !app.live() {
		return nil
	}
	text := ""
	cut, err := app.installer(reg).CutOff()
	if err != nil {
		return err
	}
	if cut {
		text = "apt-be: apt-be init was interrupted. Before kernels are installed or removed, run apt-be init.\n"
	}
	for _, e := range envs {
		if why, again := app.held(reg, e); why != "" {
			text += fmt.Sprintf("apt-be: %s was not booted: %s.\napt-be: for details, run apt-be drift %s; %s tries again.\n",
				e.Name, ui.Printable(why), e.Name, again)
		}
	}
	for _, e := range lifecycle.Unacknowledged(envs) {
		text += fmt.Sprintf("apt-be: the machine fell back from %s: %s.\napt-be: for details, run apt-be status; to remove this message, run apt-be status --acknowledge.\n",
			e.Name, ui.Printable(e.Record.Reason))
	}
	return host.SetMotd(ui.PrintableLines(text))
}

// held returns why an environment was not booted, and which action tries again.
func (app *App) held(reg *be.Registry, e be.Env) (why, again string) {
	_, id, _ := app.Booted() // without it, only the record counts
	return lifecycle.Held(reg, e, id)
}
