package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/method"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/share"
)

// riskFellBack is the risk of booting an environment from which the machine fell back.
const riskFellBack = "fell-back"

// riskNoFallback is the risk of a trial that only its own userspace can end.
const riskNoFallback = "no-fallback"

// risks are the values of --accept-risk.
var risks = []string{riskFellBack, riskNoFallback, share.RiskOpenFiles, share.RiskDeleteShare, be.RiskUnreadable, riskDeleteNested}

type activateOptions struct {
	once, replay             bool
	now, reboot, kexec, soft bool
}

// goes reports whether the machine must go to the environment immediately.
func (o activateOptions) goes() bool { return o.now || o.reboot || o.kexec || o.soft }

// methodFor returns the method for going to an environment: the user's choice, if it is
// possible, otherwise the method that plan picks.
func (app *App) methodFor(ctx context.Context, reg *be.Registry, e be.Env, o activateOptions) (be.Method, error) {
	if !o.now && !o.kexec && !o.soft {
		return be.Reboot, nil
	}
	plan, err := app.makePlan(ctx, reg, method.ThisHost(app.options.Root), e.Name)
	if err != nil {
		return "", err
	}
	wanted := plan.Picked
	switch {
	case o.kexec:
		wanted = be.Kexec
	case o.soft:
		wanted = be.SoftReboot
	}
	option := method.Of(plan.Methods, wanted)
	if !option.Possible {
		return "", fmt.Errorf("%w: %s is not possible: %s", be.ErrProtected, wanted, strings.Join(option.Reasons, "; "))
	}
	app.notice().Say("Method %s: %s", wanted, option.Summary())
	return wanted, nil
}

func newActivate(app *App) *cobra.Command {
	var o activateOptions
	cmd := &cobra.Command{
		Use:   "activate [-t] [--now | --reboot | --kexec | --soft] NAME",
		Short: "Boot a boot environment next",
		Long: `Boot NAME at the next boot. If NAME is not blessed yet, that boot is a trial: if
NAME is healthy it becomes the default, otherwise the machine falls back to the
present default. apt-be doctor lists the failures that fallback does not cover.

With --now the machine goes to NAME immediately, by the method that apt-be plan
picks; with --reboot, --kexec or --soft by that method, if it is possible. A soft
reboot keeps the running kernel, even if NAME has another one.

Until then, changes of the running system are carried to an upgraded NAME at
shutdown (apt-be drift). If packages of the running system were installed,
removed or upgraded, use --replay-packages, or repeat the upgrade, which makes a
new boot environment.

After a fallback from NAME, activating it again needs --accept-risk fell-back. If
the initramfs must end trials on this machine, and NAME's initramfs does not, use
--accept-risk no-fallback.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := app.checkReadable(); err != nil {
				return fmt.Errorf("cannot activate %s: %w", args[0], err)
			}
			if o.replay {
				would, err := app.replayPackages(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("cannot activate %s: %w", args[0], err)
				}
				if would {
					return nil
				}
			}
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				return app.activate(cmd.Context(), reg, args[0], o)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.once, "once", "t", false, "for one boot only: the default stays the same")
	flags.BoolVar(&o.replay, "replay-packages", false, "first repeat the package changes of the running system in NAME")
	flags.BoolVar(&o.now, "now", false, "go to NAME now, by the method with the shortest outage")
	flags.BoolVar(&o.reboot, "reboot", false, "reboot now")
	flags.BoolVar(&o.kexec, "kexec", false, "boot NAME's kernel now, without firmware and boot loader")
	flags.BoolVar(&o.soft, "soft", false, "restart the services of NAME now, under the running kernel")
	cmd.MarkFlagsMutuallyExclusive("now", "reboot", "kexec", "soft")
	return cmd
}

func (app *App) activate(ctx context.Context, reg *be.Registry, name string, o activateOptions) error {
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	if e.Running && e.Next {
		app.notice().Say("%s is running and is the default.", name)
		return nil
	}
	// The kernels may have changed, for example by apt-be run.
	if e, err = reg.Identify(e); err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	if err := app.checkState(reg, e); err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	act, err := app.activator()
	if err == nil {
		// Before apt-be init, the kernels may be in a separate file system.
		_, err = activation.KernelOf(e)
	}
	if errors.Is(err, activation.ErrNoKernel) {
		err = fmt.Errorf("%w: %w", be.ErrProtected, err)
	}
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	way, err := app.methodFor(ctx, reg, e, o)
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w", name, err)
	}
	if app.options.DryRun {
		return app.wouldActivate(act, e, way, o)
	}
	if way == be.Reboot && !o.once && proven(e) {
		if err := act.Choose(e); err != nil {
			return err
		}
		app.notice().Say("%s is the default from now on.", name)
	} else if err := app.try(ctx, act, e, way, o.once); err != nil {
		return err
	}
	if err := app.tellAdditions(reg, e); err != nil {
		app.Log.Warn(err)
	}
	if !o.goes() {
		return nil
	}
	return app.goTo(ctx, act, e, way)
}

// wouldActivate is the part of activate that a dry run prints instead of arming a
// trial.
func (app *App) wouldActivate(act *activation.Activator, e be.Env, way be.Method, o activateOptions) error {
	if err := app.refusal(act.Check(e, activation.ArmOptions{Method: way, NoFallback: app.accepts(riskNoFallback)}), e); err != nil {
		return err
	}
	if o.goes() {
		app.would("go to %s by %s", e.Name, way)
	} else {
		app.would("boot %s next", e.Name)
	}
	return nil
}

// refusal adds a remedy to the error of Arm.
func (app *App) refusal(err error, e be.Env) error {
	if errors.Is(err, activation.ErrNoFallback) {
		err = fmt.Errorf("%w: %w (to add them, run apt-be run %s -- update-initramfs -u -k all; to boot it without fallback, use --accept-risk %s)",
			be.ErrProtected, err, e.Name, riskNoFallback)
	}
	if err != nil {
		return fmt.Errorf("cannot activate %s: %w", e.Name, err)
	}
	return nil
}

// proven reports whether an environment needs no trial: the running one, and a blessed
// one that was not modified since.
func proven(e be.Env) bool {
	return e.Running || e.Record.State == be.Blessed && !e.Record.Modified
}

// try arms a trial of an environment.
func (app *App) try(ctx context.Context, act *activation.Activator, e be.Env, way be.Method, once bool) error {
	arming, err := app.trialOptions(ctx, way)
	if err != nil {
		return err
	}
	arming.Once, arming.NoFallback = once, app.accepts(riskNoFallback)
	if _, err = act.Arm(e, arming); err != nil {
		return app.refusal(err, e)
	}
	if way != be.Reboot {
		return nil
	}
	if arming.NoFallback {
		app.notice().Say("The next boot tries %s. Until its services are up, each further boot tries it again.", e.Name)
		return nil
	}
	level, why := act.Loader.Level()
	app.notice().Say("The next boot tries %s. Fallback level %s: %s.", e.Name, level, why)
	return nil
}

// trialOptions returns the options of a trial, from the active services and the policy.
func (app *App) trialOptions(ctx context.Context, way be.Method) (activation.ArmOptions, error) {
	conf, err := app.readConfig(ctx, aptconf.Query{})
	if err != nil {
		return activation.ArmOptions{}, err
	}
	policy, err := conf.Policy()
	if err != nil {
		return activation.ArmOptions{}, err
	}
	return app.Arming(ctx, way, policy.Deadline)
}

// checkState fails if an environment's state forbids booting it.
func (app *App) checkState(reg *be.Registry, e be.Env) error {
	switch e.Record.State {
	case be.Failed:
		return fmt.Errorf("%w: its upgrade failed: %s", be.ErrProtected, e.Record.Reason)
	case be.FellBack:
		if !app.accepts(riskFellBack) {
			return fmt.Errorf("%w: the machine fell back from it, and would not fall back again: %s (to boot it all the same, use --accept-risk %s)",
				be.ErrProtected, e.Record.Reason, riskFellBack)
		}
	}
	return app.checkFresh(reg, e)
}

// checkFresh fails if the changes of the running system cannot be carried to an
// upgraded environment.
func (app *App) checkFresh(reg *be.Registry, e be.Env) error {
	if !e.Pending() && e.Record.State != be.Stale {
		return nil
	}
	l, err := catchup.PairOf(reg, e)
	if errors.Is(err, catchup.ErrNoSource) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", be.ErrProtected, err)
	}
	changed, err := l.PackagesChanged()
	if err == nil && changed {
		err = drift.ErrPackages
	}
	if err != nil {
		return err
	}
	if !l.Source.Running {
		app.notice().Warn("%s was made from %s, so changes of the running system are not carried to it.", e.Name, l.Source.Name)
	}
	found, err := l.Drift()
	if err != nil {
		return err
	}
	app.warnOfInitramfs(e, found)
	return found.CheckRefused()
}
