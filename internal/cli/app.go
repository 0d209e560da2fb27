// Package cli is the command line of apt-be. It has one file per verb; each has a
// constructor that takes the verb's dependencies.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/lifecycle"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// App has the dependencies of the verbs.
type App struct {
	Stdout, Stderr io.Writer
	Log            *logrus.Logger
	Version        string
	Lib            string                                                             // the directory of apt-be's own files
	OpenStore      func(root string) (store.Store, error)                             // opens the store that contains a directory
	FreeRoom       func(dir string) (store.Free, error)                               // the free space of a directory's file system, also inside a sandbox
	Mounted        func(st store.Store, e be.Env) []string                            // the mount points of an environment
	LockDpkg       func(root string) (release func(), err error)                      // prevents changes of the running root's packages
	ReadConfig     func(ctx context.Context, q aptconf.Query) (aptconf.Config, error) // nil: aptconf.Read
	Patience       time.Duration                                                      // how long to wait for another process that writes to the registry
	// Attach connects a registry to the boot loader, which knows the default. It
	// returns be.ErrNotSetUp if apt-be init was not run.
	Attach func(reg *be.Registry, root string) (*activation.Activator, error)
	// Arming returns the options of a trial, from the active services.
	Arming func(ctx context.Context, method be.Method, deadline time.Duration) (activation.ArmOptions, error)
	// Booted returns the nonce of the trial that this boot is, or "", and the kernel's
	// boot ID.
	Booted func() (nonce, bootID string, err error)
	// Live is true if the running root is this machine's. Only then may state outside
	// of the store and the boot loader be changed, such as the watchdog.
	Live bool

	options   Options
	shares    *share.Shares         // the shares of the open registry
	act       *activation.Activator // for the open registry
	attachErr error                 // the reason why act is nil
	began     bool                  // the command line was valid, and its verb runs
	hook      bool                  // a package manager runs this command and shows its output
	warned    bool                  // the warning about unreadable files was printed
}

// Options are the global options.
type Options struct {
	JSON    bool
	Plain   bool // -H: tab-separated, without a header
	Quiet   bool
	Verbose bool
	DryRun  bool
	Root    string   // the directory at which the running environment is mounted
	Accept  []string // names of accepted risks
}

// Patience is the App.Patience for interactive use. Writes take well under a second.
const Patience = 10 * time.Second

// NewCommand returns the command apt-be.
func NewCommand(app *App) *cobra.Command {
	root := &cobra.Command{
		Use:           "apt-be",
		Short:         "Boot environments for Debian on btrfs",
		Long:          longHelp,
		Version:       app.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Flags before an apt verb are apt-be's, flags after it are apt's.
		TraverseChildren: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			for _, risk := range app.options.Accept {
				if !slices.Contains(risks, risk) {
					return usageError{fmt.Errorf("unknown risk %q", risk)}
				}
			}
			app.setLevel()
			return nil
		},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(app.Stdout)
	root.SetErr(app.Stderr)
	flags := root.PersistentFlags()
	flags.BoolVar(&app.options.JSON, "json", false, "print results as JSON")
	flags.BoolVarP(&app.options.Plain, "no-header", "H", false, "print tables tab-separated and without a header")
	flags.BoolVarP(&app.options.Quiet, "quiet", "q", false, "print only results and errors")
	flags.BoolVarP(&app.options.Verbose, "verbose", "v", false, "print debug messages")
	flags.BoolVar(&app.options.DryRun, "dry-run", false, "print the changes without making them")
	flags.StringSliceVar(&app.options.Accept, "accept-risk", nil, "accept a risk that is otherwise refused: "+strings.Join(risks, ", "))
	flags.StringVar(&app.options.Root, "root", "/", "the directory of the running root, for images and tests")
	root.AddCommand(
		newStatus(app), newList(app), newCreate(app), newDestroy(app), newRename(app),
		newKeep(app), newUnkeep(app), newMount(app), newUnmount(app), newRun(app), newShell(app),
		newPrune(app), newDiff(app), newActivate(app), newDeactivate(app), newRollback(app),
		newInit(app), newDoctor(app), newPlan(app), newHealth(app), newBless(app), newBoot(app), newFallback(app), newRefreshMenu(app), newGuard(app), newPredecompress(app), newCheckSpace(app), newCloseNetwork(app), newMarkStale(app), newDedupe(app), newDrift(app), newSync(app), newShare(app), newCompletion(app), newShowLog(app), newExplain(app),
	)
	for _, verb := range aptVerbs {
		root.AddCommand(newApt(app, verb))
	}
	root.CompletionOptions.DisableDefaultCmd = true
	group(root)
	app.complete(root)
	app.noteBeginOf(root)
	return root
}

// noteBeginOf records that a command's verb runs. Before that, an error is a usage
// error.
func (app *App) noteBeginOf(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			app.began = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		app.noteBeginOf(sub)
	}
}

const longHelp = `apt-be upgrades Debian in a boot environment: a snapshot of the running system
that becomes the next system to boot. The running system stays unchanged and can
be booted again.

EXIT STATUS
  0 done  1 error  2 usage  3 done in part  10 not a btrfs root, or not set up
  11 locked  12 refused by a rule or policy  14 fell back  130 interrupted`

func (app *App) setLevel() {
	switch {
	case app.options.Verbose:
		SetConsole(app.Log, logrus.DebugLevel)
	case app.options.Quiet:
		SetConsole(app.Log, logrus.ErrorLevel)
	}
}

// registry opens the store and its registry. The caller calls done when it no longer
// needs them.
func (app *App) registry() (reg *be.Registry, done func(), err error) {
	reg, done, err = app.openRegistry()
	if err == nil && !app.hook && !app.warned {
		app.warned = true
		app.warnUnreadable(reg)
	}
	return reg, done, err
}

func (app *App) openRegistry() (reg *be.Registry, done func(), err error) {
	st, err := app.OpenStore(app.options.Root)
	if err != nil {
		return nil, nil, err
	}
	reg = be.NewRegistry(st, app.options.Root, rootconf.Identify)
	reg.Mounted = func(subvolume string) ([]string, error) { return mounts.Of(st.Device(), subvolume) }
	var host share.Host = share.NoHost{}
	if app.live() {
		host = share.RunningHost{Root: "/", Device: st.Device()}
	}
	app.shares = share.New(reg, host)
	if err := app.attach(reg); err != nil && !errors.Is(err, be.ErrNotSetUp) {
		app.Log.Warnf("the default is unknown: %v", err)
	}
	return reg, func() { st.Close() }, nil
}

// activator returns the activator for the open registry, or an error if the machine has
// none.
func (app *App) activator() (*activation.Activator, error) { return app.act, app.attachErr }

// lifecycle returns the life cycle of the environments of the open registry. Without a
// boot loader (be.ErrNotSetUp, or an error of the loader) it returns both.
func (app *App) lifecycle(reg *be.Registry) (*lifecycle.Lifecycle, error) {
	act, err := app.activator()
	var machine lifecycle.Machine = host.Image{}
	if app.live() {
		machine = host.Machine{Activator: act}
	}
	return &lifecycle.Lifecycle{
		Registry:     reg,
		Act:          act,
		NoLoader:     err,
		Syncer:       app.syncer(reg),
		Shares:       app.shares,
		Machine:      machine,
		Root:         app.options.Root,
		Notice:       app.notice(),
		Log:          app.Log,
		Locked:       func(ctx context.Context, do func() error) error { return app.settled(ctx, reg, do) },
		TrialOptions: app.trialOptions,
	}, err
}

// live reports whether the running root is the root of the running machine.
func (app *App) live() bool { return app.Live && app.options.Root == "/" }

// would prints, in a dry run, the operation that is not done. It reports whether this
// is a dry run.
func (app *App) would(format string, args ...any) bool {
	if app.options.DryRun {
		app.notice().Say("Would "+format+".", args...)
	}
	return app.options.DryRun
}

// accepts reports whether the user accepts a risk.
func (app *App) accepts(risk string) bool { return slices.Contains(app.options.Accept, risk) }

// change opens the registry for writing: it takes the lock and recovers from
// interrupted runs before it calls do.
func (app *App) change(ctx context.Context, do func(reg *be.Registry) error) error {
	return app.changeFromHook(ctx, func(reg *be.Registry) error {
		if !app.options.DryRun && app.options.Root == "/" {
			if err := app.recoverSetup(ctx, reg); err != nil {
				return err
			}
		}
		return do(reg)
	})
}

// changeFromHook is change for units and package scripts. It does not undo an
// interrupted apt-be init, because that takes long and runs programs that may have
// called this command.
func (app *App) changeFromHook(ctx context.Context, do func(reg *be.Registry) error) error {
	return app.record(ctx, func(reg *be.Registry) error {
		err := do(reg)
		if !app.options.DryRun {
			app.refresh()
			app.settleFlag()
		}
		return err
	})
}

// record is changeFromHook for operations that do not change the boot menu, or update
// it themselves.
func (app *App) record(ctx context.Context, do func(reg *be.Registry) error) error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	if app.options.DryRun {
		return do(reg)
	}
	return app.settled(ctx, reg, func() error { return do(reg) })
}

// settled takes the registry's lock, recovers from interrupted runs, and calls do.
func (app *App) settled(ctx context.Context, reg *be.Registry, do func() error) error {
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	recovered, err := reg.Recover(ctx)
	app.tellRecovered(recovered)
	if err != nil {
		return err
	}
	return do()
}

// refresh updates the boot menu to the existing environments. The caller holds the
// lock. If it fails, the default still boots, so it only logs the error.
func (app *App) refresh() {
	if app.act == nil {
		return
	}
	if err := app.act.Refresh(); err != nil {
		app.Log.WithError(err).Warn("cannot write the boot menu")
	}
}

// begin starts to build an environment, and prints what recovery did.
func (app *App) begin(ctx context.Context, reg *be.Registry, o be.BuildOptions) (*be.Build, error) {
	ctx, cancel := context.WithTimeout(ctx, app.Patience)
	defer cancel()
	build, recovered, err := reg.Begin(ctx, o)
	app.tellRecovered(recovered)
	return build, err
}

// readConfig reads apt's configuration.
func (app *App) readConfig(ctx context.Context, q aptconf.Query) (aptconf.Config, error) {
	q.Env = os.Environ()
	if app.ReadConfig != nil {
		return app.ReadConfig(ctx, q)
	}
	return aptconf.Read(ctx, q)
}

// lock takes the registry's lock. It waits at most for Patience.
func (app *App) lock(ctx context.Context, reg *be.Registry) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, app.Patience)
	defer cancel()
	return reg.Lock(ctx)
}

// tellRecovered prints what recovery did after interrupted runs.
func (app *App) tellRecovered(recovered []txn.Recovered) {
	report.TellRecovered(app.notice(), app.Log, recovered)
}

// inUse returns a function that reports whether an environment is mounted, or a process
// runs in it.
func (app *App) inUse(reg *be.Registry) func(be.Env) bool {
	return func(e be.Env) bool {
		return reg.InUse(e) || len(app.Mounted(reg.Store(), e)) > 0
	}
}

func (app *App) notice() *ui.Notice {
	notice := ui.NewNotice(app.Stderr, app.options.Quiet)
	if app.hook {
		notice = notice.Narrow()
	}
	return notice
}

// line prints a line of a result. Line breaks in the arguments become blanks.
func (app *App) line(format string, args ...any) {
	fmt.Fprintln(app.Stdout, ui.Printable(fmt.Sprintf(format, args...)))
}

// launcher returns the launcher for the roots of the open registry.
func (app *App) launcher(reg *be.Registry) *inside.Launcher {
	return &inside.Launcher{Store: reg.Store(), Lib: app.Lib, Log: app.Log}
}

// upgrader returns the upgrader for the open registry.
func (app *App) upgrader(reg *be.Registry) *upgrade.Upgrader {
	launcher, notice := app.launcher(reg), app.notice()
	u := &upgrade.Upgrader{
		Root:     app.options.Root,
		Registry: reg,
		Launcher: launcher,
		Reporter: &report.Reporter{Notice: notice, Log: app.Log, System: host.System{}, Flag: rebootRequired, Lib: app.Lib},
		Catchup:  catchup.ForUpgrade(reg, launcher, notice, app.Log),
		Notice:   notice,
		Log:      app.Log,
	}
	if act, err := app.activator(); err == nil {
		u.Boot = host.Boot{Activator: act}
	}
	return u
}

// LockDpkg is the App.LockDpkg of a real machine.
func LockDpkg(root string) (release func(), err error) {
	lock, err := dpkglock.Take(root)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}
