package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/systemd"
)

// Machine is the running machine, as package lifecycle uses it.
type Machine struct {
	Activator *activation.Activator // nil if apt-be init was not run
}

// Stopping reports whether the machine is going down.
func (Machine) Stopping(ctx context.Context) bool { return systemd.Stopping(ctx) }

// LeaveJournal makes journald keep messages in memory.
func (Machine) LeaveJournal(ctx context.Context) { systemd.LeaveJournal(ctx) }

// ReturnToJournal reverses LeaveJournal.
func (Machine) ReturnToJournal(ctx context.Context) { systemd.ReturnToJournal(ctx) }

// Suspend cancels a soft-reboot or kexec that is prepared for an environment. resume
// prepares it again.
func (m Machine) Suspend(e be.Env) (resume func(e be.Env) error, err error) {
	nonce, err := softreboot.Prepared()
	if err == nil && nonce != "" {
		err = softreboot.Undo()
	}
	loaded := false
	if err == nil && e.Record.Trial.Method == be.Kexec {
		if loaded, err = kexec.Loaded(); err == nil && loaded {
			err = kexec.Unload()
		}
	}
	return func(e be.Env) error {
		var err error
		if nonce != "" {
			err = softreboot.Prepare(m.Activator.Registry.Store().Device(), e.Subvolume.Path, nonce)
		}
		if err == nil && loaded {
			err = m.loadKernel(e)
		}
		return err
	}, err
}

// Unprepare cancels a prepared kexec or soft-reboot, which a plain reboot would use.
func (Machine) Unprepare() error {
	var errs []error
	if nonce, err := softreboot.Prepared(); err != nil || nonce != "" {
		errs = append(errs, err, softreboot.Undo())
	}
	if loaded, err := kexec.Loaded(); err != nil || loaded {
		errs = append(errs, err, kexec.Unload())
	}
	return errors.Join(append(errs, UnguardSoftReboot())...)
}

// Release completes a prepared soft-reboot at the end of a shutdown.
func (Machine) Release() error { return softreboot.Release() }

// BeginTrial starts the watchdog and the deadline of a trial.
func (Machine) BeginTrial(t be.Trial) error { return BeginTrial(t) }

// EndTrial reverses BeginTrial and the initramfs's part.
func (Machine) EndTrial() error { return EndTrial() }

// OnTrial reports whether the running system has started a trial.
func (Machine) OnTrial() bool { return OnTrial() }

// KeepJournal keeps the journal of a failed trial.
func (Machine) KeepJournal(ctx context.Context, st store.Store, e be.Env) error {
	return KeepJournal(ctx, st, e)
}

// Leave reboots and blocks until the machine goes down: units after this one must not
// start.
func (Machine) Leave(ctx context.Context) error {
	if err := Reboot(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// Go takes the machine to an environment whose trial is armed for a method.
func (m Machine) Go(ctx context.Context, e be.Env, method be.Method) error {
	switch method {
	case be.Reboot:
		return Reboot(ctx)
	case be.SoftReboot:
		if err := softreboot.Prepare(m.Activator.Registry.Store().Device(), e.Subvolume.Path, e.Record.Trial.Nonce); err != nil {
			return err
		}
		if err := GuardSoftReboot(*e.Record.Trial); err != nil {
			return err
		}
		return systemd.End(ctx, "soft-reboot")
	}
	if err := m.loadKernel(e); err != nil {
		return err
	}
	return systemd.End(ctx, "kexec")
}

// loadKernel loads the kernel, initrd and command line of the environment's menu entry,
// for kexec.
func (m Machine) loadKernel(e be.Env) error {
	entry, err := m.Activator.Entry(e)
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
	kernel, err := m.open(entry.Kernel)
	if err != nil {
		return err
	}
	defer kernel.Close()
	initrd, err := m.open(entry.Initrd)
	if err != nil {
		return err
	}
	defer initrd.Close()
	return kexec.Load(kernel, initrd, line)
}

func (m Machine) open(path string) (*os.File, error) {
	f, err := m.Activator.Files(path)
	if err != nil {
		return nil, err
	}
	file, ok := f.(*os.File)
	if !ok {
		return nil, errors.Join(fmt.Errorf("cannot load %s: it is not a file", path), f.Close())
	}
	return file, nil
}

// ErrNotLive reports that an operation is only possible on the running machine.
var ErrNotLive = errors.New("not in the running system")

// Image is the machine of environments that are not those of the running machine, as in
// an image or a test. Only its boot loader and its store change.
type Image struct{}

// Stopping returns true.
func (Image) Stopping(context.Context) bool { return true }

// LeaveJournal does nothing.
func (Image) LeaveJournal(context.Context) {}

// ReturnToJournal does nothing.
func (Image) ReturnToJournal(context.Context) {}

// Suspend does nothing.
func (Image) Suspend(be.Env) (resume func(be.Env) error, err error) {
	return func(be.Env) error { return nil }, nil
}

// Unprepare does nothing.
func (Image) Unprepare() error { return nil }

// Release does nothing.
func (Image) Release() error { return nil }

// BeginTrial does nothing.
func (Image) BeginTrial(be.Trial) error { return nil }

// EndTrial does nothing.
func (Image) EndTrial() error { return nil }

// OnTrial returns false.
func (Image) OnTrial() bool { return false }

// KeepJournal keeps the journal of a failed trial.
func (Image) KeepJournal(ctx context.Context, st store.Store, e be.Env) error {
	return KeepJournal(ctx, st, e)
}

// Leave does nothing.
func (Image) Leave(context.Context) error { return nil }

// Go returns ErrNotLive.
func (Image) Go(context.Context, be.Env, be.Method) error { return ErrNotLive }
