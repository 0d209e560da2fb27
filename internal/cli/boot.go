package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/setup"
	"github.com/apt-be/apt-be/internal/machine"
	"github.com/apt-be/apt-be/internal/redirect"
)

func newBoot(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "boot",
		Short:  "Settle what became of trials; apt-be-boot.service runs it early in each boot",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.changeFromHook(cmd.Context(), func(reg *be.Registry) error { return app.boot(cmd.Context(), reg) })
		},
	}
}

func (app *App) boot(ctx context.Context, reg *be.Registry) error {
	act, err := app.activator()
	if errors.Is(err, be.ErrNotSetUp) {
		return nil
	}
	if err != nil {
		return err
	}
	nonce, err := machine.TrialNonce()
	if err != nil {
		return err
	}
	id, err := machine.BootID()
	if err != nil {
		return err
	}
	found, err := act.Boot(nonce, id)
	for _, e := range found.Failed {
		app.Log.Warnf("the machine has come back from %s: %s", e.Name, e.Record.Reason)
		err = errors.Join(err, machine.KeepJournal(ctx, reg.Store(), e))
	}
	if found.Trial != nil {
		return errors.Join(err, machine.BeginTrial(*found.Trial.Record.Trial))
	}
	// What is left of an earlier trial, or of one that nobody knows of any more.
	if nonce != "" || machine.OnTrial() {
		err = errors.Join(err, machine.EndTrial())
	}
	return errors.Join(err, app.announce(reg))
}

// announce puts a line for whoever logs in where pam_motd(8) finds it, as long
// as somebody has to know that the machine came back.
func (app *App) announce(reg *be.Registry) error {
	envs, err := reg.List()
	if err != nil {
		return err
	}
	text := ""
	for _, e := range unseen(envs) {
		text += fmt.Sprintf("apt-be: the machine came back from %s by itself: %s.\napt-be: apt-be status tells more; apt-be status --acknowledge ends this message.\n",
			e.Name, e.Record.Reason)
	}
	return machine.SetMotd(text)
}

// unseen are the environments that failed back, and nobody has said that he
// knows.
func unseen(envs []be.Env) []be.Env {
	var found []be.Env
	for _, e := range envs {
		if e.Record.State == be.FailedBack && !e.Record.Seen {
			found = append(found, e)
		}
	}
	return found
}

func newBless(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "bless",
		Short: "End the trial of the running boot environment well",
		Long: `End the trial of the running boot environment well: it is what boots from now
on. apt-be-bless.service does so when all health checks have passed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.changeFromHook(cmd.Context(), func(*be.Registry) error { return app.bless() })
		},
	}
}

func (app *App) bless() error {
	act, err := app.activator()
	if err != nil {
		return fmt.Errorf("cannot bless: %w", err)
	}
	if app.options.DryRun {
		app.notice().Say("Would make the running boot environment what boots.")
		return nil
	}
	e, err := act.Bless()
	if err != nil {
		return fmt.Errorf("cannot bless %s: %w", e.Name, err)
	}
	app.notice().Say("%s has proved healthy.", e.Name)
	return machine.EndTrial()
}

func newFailback(app *App) *cobra.Command {
	var kind, reason string
	cmd := &cobra.Command{
		Use:    "failback",
		Short:  "Leave the running boot environment, which is on trial; apt-be-failback.service runs it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var back bool
			err := app.changeFromHook(cmd.Context(), func(*be.Registry) (err error) {
				back, err = app.fail(be.Fault{Kind: be.FaultKind(kind), Text: reason})
				return err
			})
			if errors.Is(err, activation.ErrNoTrial) {
				return nil
			}
			// Whatever went wrong: a machine on trial that is not healthy is left.
			if back || err != nil {
				return errors.Join(err, machine.Reboot(cmd.Context()))
			}
			app.Log.Warn("the running boot environment is not healthy, and the machine has left it once: it stays")
			return machine.EndTrial()
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(be.FaultHealth), "what kind of fault it is")
	cmd.Flags().StringVar(&reason, "reason", "it did not prove healthy", "why, in a sentence")
	return cmd
}

func (app *App) fail(fault be.Fault) (back bool, err error) {
	act, err := app.activator()
	if err != nil {
		return false, err
	}
	return act.Fail(fault)
}

func newRefreshMenu(app *App) *cobra.Command {
	var parameters string
	cmd := &cobra.Command{
		Use:    "refresh-menu",
		Short:  "Write the boot menu anew; update-grub and kernel hooks run it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Lstat(machine.InsideMarker); !errors.Is(err, fs.ErrNotExist) {
				return err // a sandbox has no menu
			}
			if os.Getenv(setup.QuietVar) != "" {
				return nil // apt-be init runs what runs this
			}
			return app.changeFromHook(cmd.Context(), func(reg *be.Registry) error {
				return app.refreshMenu(reg, parameters, cmd.Flags().Changed("parameters"))
			})
		},
	}
	cmd.Flags().StringVar(&parameters, "parameters", "", "the kernel parameters of the running boot environment from now on")
	return cmd
}

func (app *App) refreshMenu(reg *be.Registry, parameters string, given bool) error {
	act, err := app.activator()
	if errors.Is(err, be.ErrNotSetUp) {
		return ended{redirect.Exit{Code: exitNotSetUp}} // what runs this does so on every machine
	}
	if err != nil {
		return fmt.Errorf("cannot write the boot menu: %w", err)
	}
	if given {
		e, err := reg.Running()
		if err != nil {
			return err
		}
		parameters = activation.WithoutTrial(parameters)
		if parameters != e.Record.Parameters {
			if err := reg.Change(e, func(r *be.Record) { r.Parameters = parameters }); err != nil {
				return err
			}
		}
	}
	return act.Refresh()
}
