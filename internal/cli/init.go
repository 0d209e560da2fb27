package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/setup"
	"github.com/apt-be/apt-be/internal/host"
)

func newInit(app *App) *cobra.Command {
	var yes, undo bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Prepare the machine for boot environments, once",
		Long: `Prepare the machine for boot environments, once: install a boot menu that belongs to
none of them and lists all of them. The command shows its steps first. --undo undoes
them. If it runs again, it completes boot environments that were copied from elsewhere.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := app.onlyRunning(); err != nil {
				return err
			}
			if err := app.mendBoot(cmd.Context()); err != nil {
				return fmt.Errorf("cannot prepare this machine: %w", err)
			}
			if err := app.checkReadable(); err != nil {
				return fmt.Errorf("cannot prepare this machine: %w", err)
			}
			verb := preparing{app: app, name: "apt-be init", steps: app.initSteps, do: app.init, offer: app.offerShares}
			if undo {
				verb = preparing{app: app, name: "apt-be init --undo", steps: app.undoSteps, do: app.undoInit}
			}
			return verb.run(cmd.Context(), yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&undo, "undo", false, "restore the way in which the machine booted before")
	return cmd
}

// installer returns the installer for the machine of the open registry.
func (app *App) installer(reg *be.Registry) *setup.Installer {
	return &setup.Installer{
		Host:     setup.Live(),
		Registry: reg,
		Menu: func(defaultName string) error {
			if err := app.attach(reg); err != nil {
				return err
			}
			e, err := reg.Get(defaultName)
			if err != nil {
				return err
			}
			return app.act.SetDefault(e)
		},
		RemoveMenu: func() error {
			if err := app.attach(reg); err != nil {
				return err
			}
			if l, ok := app.act.Loader.(interface{ Remove() error }); ok {
				return l.Remove()
			}
			return app.act.Loader.SetMenu(boot.Menu{}, host.Files(reg.Store()))
		},
		Tell: func(step setup.Step) { app.Log.Debug(step.Text) },
	}
}

// attach detects the boot loader again, because init changes it.
func (app *App) attach(reg *be.Registry) error {
	app.act, app.attachErr = app.Attach(reg, app.options.Root)
	reg.LoaderErr = nil
	if app.attachErr != nil && !errors.Is(app.attachErr, be.ErrNotSetUp) {
		reg.LoaderErr = app.attachErr
	}
	return app.attachErr
}

// mendBoot writes the record of init again if it cannot be read.
func (app *App) mendBoot(ctx context.Context) error {
	if app.options.DryRun {
		return nil
	}
	reg, done, err := app.openRegistry()
	if err != nil {
		return err
	}
	defer done()
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	return app.installer(reg).Mend()
}

// recoverSetup settles an interrupted init.
func (app *App) recoverSetup(ctx context.Context, reg *be.Registry) error {
	recovered, err := app.installer(reg).Recover(ctx)
	app.tellRecovered(recovered)
	for _, r := range recovered {
		err = errors.Join(err, r.Err)
	}
	if len(recovered) > 0 {
		err = errors.Join(err, app.announce(reg))
	}
	return err
}

// preparing is an init or its undo.
type preparing struct {
	app   *App
	name  string
	steps func(reg *be.Registry) ([]setup.Step, error)
	do    func(ctx context.Context, reg *be.Registry) error
	offer func() string // optional steps that the user can do afterwards
}

// run prints the steps, asks, and runs them. It holds no lock while the user reads.
func (p preparing) run(ctx context.Context, yes bool) error {
	if !p.app.options.DryRun {
		settle := func(*be.Registry) error { return nil } // settles an interrupted run before the steps are computed
		if err := p.app.change(ctx, settle); err != nil {
			return err
		}
	}
	agreed := false
	err := p.app.look(func(reg *be.Registry, _ []be.Env) error {
		steps, err := p.steps(reg)
		if err == nil {
			agreed, err = p.app.agree(p.name, steps, p.offered(), yes)
		}
		return err
	})
	if err != nil || !agreed {
		return err
	}
	return p.app.change(ctx, func(reg *be.Registry) error { return p.do(ctx, reg) })
}

func (p preparing) offered() string {
	if p.offer == nil {
		return ""
	}
	return p.offer()
}

// offerShares lists directories with data, and the commands that turn them into shares.
func (app *App) offerShares() string {
	dirs, err := app.shares.Candidates()
	if err != nil {
		app.Log.WithError(err).Warn("cannot determine which directories could be shared by all boot environments")
	}
	if len(dirs) == 0 {
		return ""
	}
	return "A rollback also reverts these directories, unless boot environments share them:\n  apt-be share add " +
		strings.Join(dirs, "\n  apt-be share add ")
}

// initSteps returns the steps of init; none if it was done.
func (app *App) initSteps(reg *be.Registry) ([]setup.Step, error) {
	installer := app.installer(reg)
	m, err := setup.Detect(installer.Host)
	if err != nil {
		return nil, fmt.Errorf("cannot prepare this machine: %w", err)
	}
	if _, err := reg.Boot(); !errors.Is(err, be.ErrNotSetUp) {
		return nil, err
	}
	steps, err := installer.Plan(m)
	if err != nil {
		return nil, fmt.Errorf("cannot prepare this machine: %w", err)
	}
	return steps, nil
}

func (app *App) init(ctx context.Context, reg *be.Registry) error {
	installer := app.installer(reg)
	m, err := setup.Detect(installer.Host)
	if err != nil {
		return fmt.Errorf("cannot prepare this machine: %w", err)
	}
	if _, err := reg.Boot(); !errors.Is(err, be.ErrNotSetUp) {
		if err != nil {
			return err
		}
		return app.initAgain(ctx, reg, installer, m)
	}
	if err := installer.Install(ctx, m); err != nil {
		return err
	}
	app.notice().Say("The machine is set up for boot environments. apt-be doctor lists the failures that fallback covers; apt-be init --undo undoes the setup.")
	if offer := app.offerShares(); offer != "" {
		app.notice().Say("%s", offer)
	}
	return app.tellUnready(ctx, reg, installer)
}

// initAgain completes environments that were copied from elsewhere.
func (app *App) initAgain(ctx context.Context, reg *be.Registry, installer *setup.Installer, m setup.Layout) error {
	app.notice().Say("The machine is already set up for boot environments.")
	if app.options.DryRun {
		return nil
	}
	envs, err := reg.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		if e.Subvolume.ReadOnly {
			continue
		}
		if err := installer.PrepareRoot(ctx, m, e.Subvolume.Path); err != nil {
			return err
		}
	}
	return nil
}

// tellUnready lists the environments whose initrds were made before init and cannot end
// a trial.
func (app *App) tellUnready(ctx context.Context, reg *be.Registry, installer *setup.Installer) error {
	envs, err := reg.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		kernel, err := activation.KernelOf(e)
		if err != nil || e.Running {
			continue
		}
		ready, err := installer.InitrdReady(ctx, e, kernel)
		if err != nil || !ready {
			app.notice().Say("%s was made before the setup: an early failure of its first boot does not lead to fallback. To change that, run apt-be run %s -- update-initramfs -u -k all", e.Name, e.Name)
		}
	}
	return nil
}

// undoSteps returns the steps of init --undo.
func (app *App) undoSteps(reg *be.Registry) ([]setup.Step, error) {
	installer := app.installer(reg)
	m, err := setup.Detect(installer.Host)
	var steps []setup.Step
	if err == nil {
		steps, err = installer.Removal(m)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot undo apt-be init: %w", err)
	}
	return steps, nil
}

func (app *App) undoInit(ctx context.Context, reg *be.Registry) error {
	if err := app.attach(reg); err != nil {
		return fmt.Errorf("cannot undo apt-be init: %w", err)
	}
	installer := app.installer(reg)
	m, err := setup.Detect(installer.Host)
	if err != nil {
		return fmt.Errorf("cannot undo apt-be init: %w", err)
	}
	if err := app.act.Disarm(); err != nil {
		return err
	}
	if err := installer.Remove(ctx, m); err != nil {
		return err
	}
	app.act, app.attachErr = nil, be.ErrNotSetUp
	app.notice().Say("The machine boots as before apt-be init. The boot environments still exist, but cannot be booted.")
	return nil
}

// onlyRunning fails for an image: the maker of the image is responsible for its boot
// loader.
func (app *App) onlyRunning() error {
	if app.options.Root != "/" {
		return usageError{errors.New("cannot prepare a machine that does not run")}
	}
	return nil
}

// agree prints the steps and asks for confirmation.
func (app *App) agree(what string, steps []setup.Step, offer string, yes bool) (bool, error) {
	if len(steps) == 0 {
		return true, nil
	}
	app.line("%s will:", what)
	for n, step := range steps {
		app.line("%3d. %s", n+1, step.Text)
	}
	if offer != "" {
		for text := range strings.Lines(offer) {
			app.line("%s", strings.TrimRight(text, "\n"))
		}
	}
	switch {
	case app.options.DryRun:
		return false, nil
	case yes:
		return true, nil
	}
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		return false, usageError{fmt.Errorf("cannot ask for confirmation, because standard input is not a terminal. To run without confirmation, use -y with %s", what)}
	}
	fmt.Fprint(app.Stdout, "Continue? [y/N] ")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		app.notice().Say("Nothing was changed.")
		return false, nil
	}
	return err == nil, err
}
