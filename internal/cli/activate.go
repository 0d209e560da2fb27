package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
)

// riskFailedBack is the risk of booting what the machine has left by itself.
const riskFailedBack = "failed-back"

type activateOptions struct {
	once                bool
	reboot, kexec, soft bool
}

// method is how to go there, and whether to go now.
func (o activateOptions) method() (method be.Method, now bool) {
	switch {
	case o.kexec:
		return be.Kexec, true
	case o.soft:
		return be.SoftReboot, true
	}
	return be.Reboot, o.reboot
}

func newActivate(app *App) *cobra.Command {
	var o activateOptions
	cmd := &cobra.Command{
		Use:   "activate [-t] [--reboot | --kexec | --soft] NAME",
		Short: "Make the next boot take a boot environment",
		Long: `Make the next boot take a boot environment, on trial unless it has proved
healthy before: if it comes up healthy it is what boots from then on, and if not
the machine comes back to the present one by itself. apt-be doctor says from
which mishaps.

With --reboot, --kexec or --soft the machine goes there at once. apt-be plan
says what each would do.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.activate(cmd.Context(), reg, args[0], o)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.once, "once", "t", false, "for one boot: the one after it takes the present one again")
	flags.BoolVar(&o.reboot, "reboot", false, "reboot now")
	flags.BoolVar(&o.kexec, "kexec", false, "boot its kernel now, without the firmware and the boot loader")
	flags.BoolVar(&o.soft, "soft", false, "restart the services in it now, under the running kernel")
	cmd.MarkFlagsMutuallyExclusive("reboot", "kexec", "soft")
	return cmd
}

func (app *App) activate(ctx context.Context, reg *be.Registry, name string, o activateOptions) error {
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	if e.Running && e.Next {
		app.notice().Say("%s runs, and is what boots.", name)
		return nil
	}
	// Its kernels may be others by now, as after apt-be run.
	if e, err = reg.Identify(e); err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	if err := app.checkBootable(reg, e); err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	if app.options.DryRun {
		app.notice().Say("Would make the next boot take %s.", name)
		return nil
	}
	method, now := o.method()
	if method == be.Reboot && !o.once && proven(e) {
		if err := act.SetDefault(e); err != nil {
			return err
		}
		app.notice().Say("%s is what boots from now on.", name)
	} else if err := app.try(ctx, act, e, method, o.once); err != nil {
		return err
	}
	if !now {
		return nil
	}
	return app.goTo(ctx, act, e, method)
}

// proven says whether an environment needs no trial: the one that runs has
// come up, and one that was blessed has been left alone since.
func proven(e be.Env) bool {
	return e.Running || e.Record.State == be.Blessed && !e.Record.Touched
}

// try arms a trial of an environment.
func (app *App) try(ctx context.Context, act *activation.Activator, e be.Env, method be.Method, once bool) error {
	conf, err := app.readConfig(ctx, aptconf.Query{})
	if err != nil {
		return err
	}
	policy, err := conf.Policy()
	if err != nil {
		return err
	}
	arming, err := app.Arming(ctx, method, policy.Deadline)
	if err != nil {
		return err
	}
	arming.Once = once
	if _, err := act.Arm(e, arming); err != nil {
		return fmt.Errorf("cannot activate %s: %w", e.Name, err)
	}
	if method != be.Reboot {
		return nil
	}
	if level, why := act.Loader.Level(); level != "" {
		app.notice().Say("The next boot tries %s. It is safe from what goes wrong from the %s on: %s.", e.Name, level, why)
	}
	return nil
}

// checkBootable says why an environment may not be booted, if it may not.
func (app *App) checkBootable(reg *be.Registry, e be.Env) error {
	if _, err := activation.KernelOf(e); err != nil {
		return fmt.Errorf("%w: %w", be.ErrProtected, err)
	}
	switch e.Record.State {
	case be.Failed:
		return fmt.Errorf("%w: its upgrade failed: %s", be.ErrProtected, e.Record.Reason)
	case be.FailedBack:
		if !app.accepts(riskFailedBack) {
			return fmt.Errorf("%w: the machine has come back from it by itself, and would not again: %s (--accept-risk %s boots it all the same)",
				be.ErrProtected, e.Record.Reason, riskFailedBack)
		}
	}
	return app.checkFresh(reg, e)
}

// checkFresh refuses an environment that lacks what happened to the packages
// of the running system since.
func (app *App) checkFresh(reg *be.Registry, e be.Env) error {
	if !e.Pending() && e.Record.State != be.Stale {
		return nil
	}
	changed, err := redirect.PackagesChanged(reg, e)
	if errors.Is(err, be.ErrNotFound) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil && changed {
		err = fmt.Errorf("%w: packages of the running system changed since it was made; the same upgrade again makes one anew", be.ErrProtected)
	}
	return err
}
