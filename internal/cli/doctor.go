package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/setup"
	"github.com/apt-be/apt-be/internal/ui"
)

// errProblems reports that doctor found and printed problems.
var errProblems = errors.New("there are problems")

// doctorJSON is the output of doctor --json.
type doctorJSON struct {
	SetUp    bool            `json:"set_up"`
	Level    boot.Level      `json:"level"` // the fallback level; "none" if apt-be init was not run
	Kexec    bool            `json:"kexec"`
	Findings []setup.Finding `json:"findings"`
}

func newDoctor(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the prerequisites of booting and of fallback",
		Long: `Check the prerequisites of booting and of fallback, and print the fallback level of
this machine. The exit status is 0 if there is no problem, 1 if there is one, and 10
if this machine cannot be set up for boot environments.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reg, done, err := app.openRegistry() // its warnings are among the findings
			if err != nil {
				return err
			}
			defer done()
			return app.doctor(cmd.Context(), reg)
		},
	}
}

func (app *App) doctor(ctx context.Context, reg *be.Registry) error {
	installer := app.installer(reg)
	m, unfit := setup.Detect(installer.Host)
	report := doctorJSON{Level: boot.LevelNone, Kexec: kexec.Supported() == nil}
	_, err := reg.Boot()
	report.SetUp = err == nil
	switch {
	case unfit != nil:
		report.add("machine", setup.Problem, unfit.Error(), "")
	default:
		report.add("machine", setup.OK, m.Summary(), "")
	}
	switch {
	case report.SetUp:
		app.examineLoader(reg, &report)
	case errors.Is(err, be.ErrNotSetUp) && unfit == nil:
		report.add("set-up", setup.Problem, err.Error(), "to prepare the machine, run apt-be init, which first shows its steps")
	case !errors.Is(err, be.ErrNotSetUp):
		report.add("set-up", setup.Problem, err.Error(), "")
	}
	for _, e := range app.unreadable(reg) {
		report.add("registry", setup.Problem, e.Error(), e.Remedy())
	}
	examineKexec(&report)
	more, err := installer.Check(ctx, m)
	if err != nil {
		return err
	}
	report.Findings = append(report.Findings, more...)
	if err := app.printFindings(report); err != nil {
		return err
	}
	if unfit != nil {
		return fmt.Errorf("cannot set up this machine for boot environments: %w", unfit)
	}
	if slices.ContainsFunc(report.Findings, func(f setup.Finding) bool { return f.Grade == setup.Problem }) {
		return errProblems
	}
	return nil
}

func (r *doctorJSON) add(check string, grade setup.Grade, text, hint string) {
	r.Findings = append(r.Findings, setup.Finding{Check: check, Grade: grade, Text: text, Hint: hint})
}

// uncovered describes the failures that each fallback level does not cover.
var uncovered = map[boot.Level]string{
	boot.LevelKernel:    "covers every failure of the first boot",
	boot.LevelInitramfs: "not covered: a kernel or initrd of the new system that is missing, hangs or panics before its initramfs has run. Then choose the old system in the menu",
	boot.LevelUserspace: "not covered: every failure before services start. Then choose the old system in the menu",
	boot.LevelNone:      "covers nothing: no trial can be armed",
}

// examineLoader checks the boot loader and its menu.
func (app *App) examineLoader(reg *be.Registry, report *doctorJSON) {
	act, err := app.activator()
	if err != nil {
		report.add("loader", setup.Problem, err.Error(), "")
		return
	}
	level, why := act.Loader.Level()
	report.Level = level
	grade := setup.OK
	if level != boot.LevelKernel {
		grade = setup.Warning
	}
	report.add("fallback", grade, fmt.Sprintf("fallback level of a reboot: %s: %s; %s", level, why, uncovered[level]), "")
	name, err := act.Loader.Default()
	if err != nil {
		report.add("menu", setup.Problem, err.Error(), "")
		return
	}
	e, err := reg.Get(name)
	if err != nil {
		report.add("menu", setup.Problem, fmt.Sprintf("the default is %s, which is not a boot environment: %v", name, err), "to choose another one, run apt-be activate")
		return
	}
	examineDefault(reg, act.Loader, e, report)
}

// examineDefault checks the files of the default, and the space for the files of one
// more environment.
func examineDefault(reg *be.Registry, loader boot.Loader, e be.Env, report *doctorJSON) {
	kernel, err := activation.KernelOf(e)
	if err != nil {
		report.add("menu", setup.Problem, fmt.Sprintf("the default is %s, but %v", e.Name, err), "to choose another one, run apt-be activate")
		return
	}
	var size int64
	for _, file := range []string{kernel.Image, kernel.Initrd} {
		info, err := os.Stat(reg.Store().Path(e.Subvolume.Path + "/" + file))
		if err != nil {
			report.add("menu", setup.Problem, fmt.Sprintf("the default is %s, but its %s is missing", e.Name, file), "to choose another one, run apt-be activate")
			return
		}
		size += info.Size()
	}
	report.add("menu", setup.OK, fmt.Sprintf("the default is %s, with kernel %s", e.Name, kernel.Version), "")
	if err := loader.CheckSpace(size); err != nil {
		report.add("space", setup.Problem, fmt.Sprintf("no space for another kernel and initrd where the boot loader reads them: %v", err), "to free space, run apt-be destroy for old boot environments")
		return
	}
	report.add("space", setup.OK, fmt.Sprintf("space for another kernel and initrd is available (%s)", ui.Size(size)), "")
}

func examineKexec(report *doctorJSON) {
	if err := kexec.Supported(); err != nil {
		report.add("kexec", setup.Warning, err.Error(), "")
		return
	}
	report.add("kexec", setup.OK, "kexec is possible: after apt-be activate --kexec, any reset returns to the old system", "")
}

func (app *App) printFindings(report doctorJSON) error {
	if app.options.JSON {
		return ui.JSON(app.Stdout, report)
	}
	for _, f := range report.Findings {
		app.line("%-8s %s", f.Grade, f.Text)
		if f.Hint != "" {
			app.line("         %s", f.Hint)
		}
	}
	return nil
}
