package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/method"
	"github.com/apt-be/apt-be/internal/lifecycle"
	"github.com/apt-be/apt-be/internal/share"
)

// risks are the values of --accept-risk.
var risks = []string{lifecycle.RiskFellBack, lifecycle.RiskNoFallback, share.RiskOpenFiles, share.RiskDeleteShare, be.RiskUnreadable, riskDeleteNested}

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
	l, _ := app.lifecycle(reg) // Activate reports a missing boot loader
	a, err := l.Activate(ctx, name, lifecycle.Activation{
		Once:    o.once,
		DryRun:  app.options.DryRun,
		Accepts: app.accepts,
		Method:  func(ctx context.Context, e be.Env) (be.Method, error) { return app.methodFor(ctx, reg, e, o) },
	})
	switch {
	case err != nil:
		return err
	case a.Done:
		app.notice().Say("%s is running and is the default.", name)
		return nil
	case app.options.DryRun && o.goes():
		app.would("go to %s by %s", name, a.Method)
		return nil
	case app.options.DryRun:
		app.would("boot %s next", name)
		return nil
	case a.Chosen:
		app.notice().Say("%s is the default from now on.", name)
	case a.Method == be.Reboot:
		app.tellTrial(l, name)
	}
	if err := app.tellAdditions(l, a.Env); err != nil {
		app.Log.Warn(err)
	}
	if !o.goes() {
		return nil
	}
	return l.Go(ctx, a.Env, a.Method)
}

// tellTrial prints that the next boot is a trial, and what the fallback covers.
func (app *App) tellTrial(l *lifecycle.Lifecycle, name string) {
	if app.accepts(lifecycle.RiskNoFallback) {
		app.notice().Say("The next boot tries %s. Until its services are up, each further boot tries it again.", name)
		return
	}
	level, why := l.Act.Loader.Level()
	app.notice().Say("The next boot tries %s. Fallback level %s: %s.", name, level, why)
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
