package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/systemd"
)

// goTo takes the machine to an environment whose trial is armed for a method. If a step
// fails before that, it undoes the preparation.
func (app *App) goTo(ctx context.Context, act *activation.Activator, e be.Env, method be.Method) (err error) {
	if !app.live() {
		_, err := act.Deactivate()
		return errors.Join(fmt.Errorf("cannot go to %s: %w", e.Name, errNotLive), err)
	}
	defer func() {
		if err != nil {
			_, stayErr := act.Deactivate()
			err = errors.Join(fmt.Errorf("cannot go to %s: %w", e.Name, err), app.unprepare(), stayErr)
		}
	}()
	if method == be.Reboot {
		return host.Reboot(ctx)
	}
	if e, err = act.Registry.Get(e.Name); err != nil { // with its trial
		return err
	}
	if method == be.SoftReboot {
		st := act.Registry.Store()
		if err := softreboot.Prepare(st.Device(), e.Subvolume.Path, e.Record.Trial.Nonce); err != nil {
			return err
		}
		if err := host.GuardSoftReboot(*e.Record.Trial); err != nil {
			return err
		}
		return systemd.End(ctx, "soft-reboot")
	}
	if err := loadKernel(act, e); err != nil {
		return err
	}
	return systemd.End(ctx, "kexec")
}

// loadKernel loads the kernel, initrd and command line of the environment's menu entry,
// for kexec.
func loadKernel(act *activation.Activator, e be.Env) error {
	entry, err := act.Entry(e)
	if err != nil {
		return err
	}
	if e.Record.Trial == nil {
		return fmt.Errorf("cannot load the kernel of %s: its trial was cancelled meanwhile", e.Name)
	}
	entry.Options = activation.TrialParameters(entry.Options, e.Record.Trial)
	line, err := entry.CommandLine()
	if err != nil {
		return err
	}
	kernel, err := open(act, entry.Kernel)
	if err != nil {
		return err
	}
	defer kernel.Close()
	initrd, err := open(act, entry.Initrd)
	if err != nil {
		return err
	}
	defer initrd.Close()
	return kexec.Load(kernel, initrd, line)
}

func open(act *activation.Activator, path string) (*os.File, error) {
	f, err := act.Files(path)
	if err != nil {
		return nil, err
	}
	file, ok := f.(*os.File)
	if !ok {
		return nil, errors.Join(fmt.Errorf("cannot load %s: it is not a file", path), f.Close())
	}
	return file, nil
}

// unprepare cancels a prepared kexec or soft reboot, which a plain reboot would use.
func (app *App) unprepare() error {
	if !app.live() {
		return nil
	}
	var errs []error
	if nonce, err := softreboot.Prepared(); err != nil || nonce != "" {
		errs = append(errs, err, softreboot.Undo())
	}
	if loaded, err := kexec.Loaded(); err != nil || loaded {
		errs = append(errs, err, kexec.Unload())
	}
	return errors.Join(append(errs, host.UnguardSoftReboot())...)
}
