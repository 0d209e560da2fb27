package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/method"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// planJSON is the output of plan --json.
type planJSON struct {
	Name       string          `json:"name"`
	From       string          `json:"from"` // the running one
	Changes    be.Changes      `json:"changes"`
	KernelFrom string          `json:"kernel_from"` // the running kernel
	KernelTo   string          `json:"kernel_to"`
	Methods    []method.Option `json:"methods"`
	Picked     be.Method       `json:"picked"`
}

func newPlan(app *App) *cobra.Command { return newPlanOn(app, method.ThisHost) }

// newPlanOn returns the verb plan. machine returns the host of a root.
func newPlanOn(app *App, machine func(root string) method.Host) *cobra.Command {
	return &cobra.Command{
		Use:   "plan NAME",
		Short: "Show how the machine can go to a boot environment",
		Long: `Show the changes if boot environment NAME ran, and the methods by which the machine
can go there: soft-reboot keeps the running kernel, kexec starts NAME's kernel without
firmware and boot loader, reboot does everything. The first sufficient method is
picked, unless ` + method.PolicyItem + ` in apt's configuration
excludes it.

fallback is the fallback level of a trial by that method; see apt-be doctor.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.look(func(reg *be.Registry, _ []be.Env) error {
				return app.plan(cmd.Context(), reg, machine(app.options.Root), args[0])
			})
		},
	}
}

func (app *App) plan(ctx context.Context, reg *be.Registry, machine method.Host, name string) error {
	p, err := app.makePlan(ctx, reg, machine, name)
	if err != nil {
		return fmt.Errorf("cannot plan for %s: %w", name, err)
	}
	if app.options.JSON {
		return ui.JSON(app.Stdout, p)
	}
	return app.printPlan(p)
}

func (app *App) makePlan(ctx context.Context, reg *be.Registry, machine method.Host, name string) (planJSON, error) {
	running, err := reg.Running()
	if err != nil {
		return planJSON{}, err
	}
	e, err := reg.Get(name)
	if err != nil {
		return planJSON{}, err
	}
	if e.Running {
		return planJSON{}, errors.New("already running")
	}
	// The kernels may have changed, for example by apt-be run.
	if e, err = reg.Identify(e); err != nil {
		return planJSON{}, err
	}
	changes, err := packageChanges(reg, running, e)
	if err != nil {
		return planJSON{}, err
	}
	facts, err := app.methodFacts(reg, machine, e)
	if err != nil {
		return planJSON{}, err
	}
	conf, err := app.readConfig(ctx, aptconf.Query{})
	if err != nil {
		return planJSON{}, err
	}
	allowed, err := method.Allowed(conf)
	if err != nil {
		return planJSON{}, err
	}
	options := method.Choose(facts, allowed)
	return planJSON{
		Name:       e.Name,
		From:       running.Name,
		Changes:    changes,
		KernelFrom: facts.Soft.Running.Release,
		KernelTo:   facts.Soft.Next.Release,
		Methods:    options,
		Picked:     method.Picked(options).Method,
	}, nil
}

// packageChanges counts the packages that differ between two environments.
func packageChanges(reg *be.Registry, from, to be.Env) (be.Changes, error) {
	before, err := pkgdb.Read(reg.Dir(from))
	if err != nil {
		return be.Changes{}, fmt.Errorf("cannot read the packages of %s: %w", from.Name, err)
	}
	after, err := pkgdb.Read(reg.Dir(to))
	if err != nil {
		return be.Changes{}, fmt.Errorf("cannot read the packages of %s: %w", to.Name, err)
	}
	diff, err := pkgdb.Compare(before, after)
	return upgrade.Count(diff), err
}

// methodFacts gathers the facts for choosing a method.
func (app *App) methodFacts(reg *be.Registry, machine method.Host, e be.Env) (method.Facts, error) {
	act, err := app.activator()
	if err != nil {
		return method.Facts{}, err
	}
	kernel, err := activation.KernelOf(e)
	if err != nil {
		return method.Facts{}, err
	}
	entry, err := act.Entry(e)
	if err != nil {
		return method.Facts{}, err
	}
	// The command line of a trial is the longest possible one.
	trial := be.Trial{Nonce: "0123456789abcdef", Deadline: aptconf.DefaultDeadline}
	entry.Options = activation.TrialParameters(entry.Options, &trial)
	line, err := entry.CommandLine()
	if err != nil {
		return method.Facts{}, err
	}
	facts, err := method.Gather(machine, method.Target{
		Root: reg.Store().Path(e.Subvolume.Path), Kernel: kernel, CommandLine: line,
	})
	facts.Level, facts.LevelReason = act.Loader.Level()
	return facts, err
}

func (app *App) printPlan(p planJSON) error {
	if !app.options.Plain {
		kernel := p.KernelTo + ", as now"
		if p.KernelFrom != p.KernelTo {
			kernel = p.KernelFrom + " → " + p.KernelTo
		}
		app.line("from      %s", p.From)
		app.line("to        %s", p.Name)
		app.line("packages  %s", p.Changes.Summary())
		app.line("kernel    %s", kernel)
		app.line("picked    %s", p.Picked)
		app.line("")
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "METHOD", "FALLBACK", "SUFFICIENT")
	for _, o := range p.Methods {
		table.Row(string(o.Method), string(o.Level), o.Summary())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !app.options.Plain {
		app.line("")
		for _, o := range p.Methods {
			app.line("fallback of %s: %s", o.Method, o.LevelReason)
		}
	}
	return nil
}
