package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/apthook"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/syscalls"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// guardsKept is the number of safety snapshots to keep.
const guardsKept = 3

// guardPrefix is the prefix of the names of safety snapshots, before the date.
const guardPrefix = "before-"

// guardStamp contains the run of apt that made the last safety snapshot.
const guardStamp = "/run/apt-be/guarded"

func newGuard(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Short:  "Take a safety snapshot before apt changes the running system",
		Hidden: true, // apt calls it
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app.hook = true
			// In a sandbox, close the network before debconf runs packages' config
			// scripts.
			if err := syscalls.CloseNetwork(); err != nil {
				return err
			}
			if !host.OnMachine() || os.Getenv("APT_BE_BYPASS") == "1" {
				return nil
			}
			in, err := hookInput()
			if err != nil {
				return err
			}
			if in.PackageKit() {
				app.Stderr = aptErrors{app.Stderr}
			}
			return app.explainVeto(app.guard(cmd.Context(), in))
		},
	}
}

// errGuardVeto reports that the policy forbids changes of the running system.
var errGuardVeto = errors.New(`Apt-Be::Guard is "veto"`)

// guard is apt's DPkg::Pre-Install-Pkgs hook. If it fails, apt unpacks nothing.
func (app *App) guard(ctx context.Context, in apthook.Input) error {
	if in.ChangesNothing() { // before reading the policy, which may be broken: packages can be removed in any case
		return nil
	}
	policy, err := in.Config.Policy()
	if err != nil {
		return err
	}
	switch policy.Guard {
	case aptconf.GuardOff:
		return nil
	case aptconf.GuardVeto:
		return fmt.Errorf("cannot upgrade the running system: %w", errGuardVeto)
	}
	if err := host.CheckWritable(); err != nil {
		return fmt.Errorf("cannot take a safety snapshot: %w", err)
	}
	reg, done, err := app.registry()
	if errors.Is(err, store.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot take a safety snapshot: %w", err)
	}
	defer done()
	if err := reg.CheckReadable(); err != nil {
		return fmt.Errorf("cannot take a safety snapshot: %w", err)
	}
	if app.live() {
		if state, err := upgrade.RootState(reg, app.options.Root); err != nil || state != frontend.RootOK {
			return err // a snapshot would not contain the whole system
		}
	}
	run := aptRun(in.Packages)
	if last, err := regular.ReadFile(guardStamp, 1<<10); err == nil && run != "" && string(last) == run {
		return nil
	}
	e, err := app.safetySnapshot(ctx, reg, in)
	if err != nil {
		return fmt.Errorf("cannot take a safety snapshot: %w", err)
	}
	app.tellSafety(e)
	// The snapshot exists, so later errors do not stop apt.
	if err := noteGuarded(run); err != nil {
		app.Log.WithError(err).Warn("cannot record that a safety snapshot was taken; this run of apt may take more")
	}
	return nil
}

func noteGuarded(run string) error {
	if run == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(guardStamp), 0o755); err != nil {
		return err
	}
	return os.WriteFile(guardStamp, []byte(run), 0o644)
}

// tellSafety prints the safety snapshot and how to return to it.
func (app *App) tellSafety(e be.Env) {
	app.notice().Say("The present state of the running system is saved as boot environment %s.", e.Name)
	_, err := app.activator()
	switch {
	case !e.Bootable():
		app.notice().Say("It cannot boot, because it has no kernel. To inspect it, run apt-be shell %s", e.Name)
	case errors.Is(err, be.ErrNotSetUp):
		app.notice().Say("To boot it, you need apt-be init. To inspect it, run apt-be shell %s", e.Name)
	default:
		app.notice().Say("To return to it, run apt-be activate %s, and reboot.", e.Name)
	}
}

// explainVeto prints why apt is stopped, and the alternatives. Frontends show only this
// output.
func (app *App) explainVeto(err error) error {
	if err == nil {
		return nil
	}
	app.notice().Error(err)
	status := Status(err)
	if errors.Is(err, errGuardVeto) {
		status.Code = exitRefused
		app.notice().Hint("To upgrade in a new boot environment, run apt-get dist-upgrade. " + guardOffHint)
		return ended{status}
	}
	if hint := Hint(err); hint != "" {
		app.notice().Hint("%s", hint)
	}
	app.notice().Hint("Nothing was changed. " + guardOffHint)
	return ended{status}
}

const guardOffHint = "To upgrade the running system without a safety snapshot, set Apt-Be::Guard=off with -o or in /etc/apt/apt.conf.d."

// aptErrors writes each line like an error of libapt. PackageKit passes only such lines
// to its client.
type aptErrors struct{ w io.Writer }

func (a aptErrors) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if _, err := a.w.Write(append([]byte("E: "), line...)); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

// hookInput reads apt's input for the hook from the descriptor that apt names.
func hookInput() (apthook.Input, error) {
	fd := 0
	if name := os.Getenv("APT_HOOK_INFO_FD"); name != "" {
		var err error
		if fd, err = strconv.Atoi(name); err != nil {
			return apthook.Input{}, fmt.Errorf("cannot read apt's hook protocol: APT_HOOK_INFO_FD is %q", name)
		}
	}
	f := os.NewFile(uintptr(fd), "hook")
	defer f.Close()
	return apthook.Read(f)
}

func (app *App) safetySnapshot(ctx context.Context, reg *be.Registry, in apthook.Input) (be.Env, error) {
	origin, err := reg.Running()
	if err != nil {
		return be.Env{}, err
	}
	own, err := parts.Of(reg, origin)
	if err != nil {
		return be.Env{}, err
	}
	build, err := app.begin(ctx, reg, be.BuildOptions{
		Parts:     own,
		Prefix:    guardPrefix,
		Origin:    origin,
		CreatedBy: be.Guard,
		Command:   in.Command(),
		LeaveOut:  in.Config.List(upgrade.LeaveOut),
	})
	if err != nil {
		return be.Env{}, err
	}
	root := reg.Store().Path(build.Path)
	if err := rootconf.SetRoot(reg.Store(), build.Path, be.EnvDir+"/"+build.Name, own); err != nil {
		return be.Env{}, errors.Join(err, build.Discard(ctx))
	}
	identity, err := rootconf.Identify(root)
	if err != nil {
		app.Log.WithError(err).Warn("cannot identify the safety snapshot")
	}
	e, err := build.Commit(ctx, be.Ready, func(r *be.Record) {
		r.Title, r.Kernels = identity.Title, identity.Kernels
		r.Reason = "taken before " + in.Occasion()
	})
	if err != nil {
		return be.Env{}, err
	}
	if err := app.dropGuards(ctx, reg, e.Name); err != nil {
		app.Log.WithError(err).Warn("cannot remove older safety snapshots")
	}
	return e, nil
}

// dropGuards destroys old safety snapshots after a new one was made, and updates the
// boot menu.
func (app *App) dropGuards(ctx context.Context, reg *be.Registry, made string) error {
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	defer app.refresh()
	envs, err := reg.List()
	if err != nil {
		return err
	}
	kept := 1
	for i := len(envs) - 1; i >= 0; i-- {
		e := envs[i]
		if e.Record.CreatedBy != be.Guard || e.Record.Kept || e.Name == made {
			continue
		}
		if kept++; kept <= guardsKept {
			continue
		}
		if be.CheckDestroy(envs, e.Name, app.inUse(reg)) == nil {
			err := reg.Destroy(ctx, e)
			if lost := (*be.NestedError)(nil); errors.As(err, &lost) {
				app.notice().Say("The safety snapshot %s is not deleted: %v.", e.Name, lost)
				app.notice().Hint("%s", nestedHint(e.Name))
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
