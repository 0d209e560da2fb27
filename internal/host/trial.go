package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/systemd"
	"github.com/apt-be/apt-be/internal/watchdog"
)

// InsideMarker exists only in a sandbox.
const InsideMarker = sandbox.Marker

const (
	runDir = "/run/apt-be"
	// trialFile exists during a trial, for the conditions of the units in
	// hooks/systemd; its content is the nonce.
	trialFile    = runDir + "/trial"
	motdFile     = "/run/motd.d/apt-be"
	deadlineUnit = "apt-be-deadline"
	// guardFile has the value of panicParameter before GuardSoftReboot.
	guardFile      = runDir + "/soft-guard"
	panicParameter = "/proc/sys/kernel/panic"
)

// Booted returns the nonce of the trial that this boot is, or "", and the kernel's boot
// ID (random(4)).
func Booted() (nonce, bootID string, err error) {
	if nonce, err = trialNonce(); err != nil {
		return "", "", err
	}
	bootID, err = BootID()
	return nonce, bootID, err
}

// trialNonce returns the nonce of the trial that this boot is, or "".
func trialNonce() (string, error) {
	// A soft-reboot does not change the kernel's command line.
	if nonce, err := softreboot.Prepared(); err != nil || nonce != "" {
		return nonce, err
	}
	line, err := CommandLine()
	if err != nil {
		return "", err
	}
	return activation.NonceOf(line), nil
}

// BeginTrial starts the services of a trial. At the deadline it ends the trial: by an
// orderly reboot, or by the watchdog.
func BeginTrial(t be.Trial) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(trialFile, []byte(t.Nonce+"\n"), 0o644); err != nil {
		return fmt.Errorf("cannot begin the trial: %w", err)
	}
	return errors.Join(watchdog.Start(t.Deadline+activation.WatchdogGrace), setDeadline(t.Deadline))
}

// setDeadline makes the machine leave the running environment after a time.
func setDeadline(after time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	// One from before a soft-reboot may exist.
	if err := stopDeadline(); err != nil {
		return err
	}
	err = systemd.Timer{Unit: deadlineUnit, After: after, Command: []string{
		program, "fallback", "--kind=" + string(be.FaultDeadline),
		fmt.Sprintf("--reason=it did not become healthy within %s", after),
	}}.Start()
	if err != nil {
		return fmt.Errorf("cannot set the deadline of the trial: %w", err)
	}
	return nil
}

func stopDeadline() error {
	if err := systemd.StopTimer(deadlineUnit); err != nil {
		return fmt.Errorf("cannot cancel the deadline of the trial: %w", err)
	}
	return nil
}

// OnTrial reports whether the running system has started a trial since the machine's
// start or the last soft-reboot.
func OnTrial() bool {
	_, err := os.Lstat(trialFile)
	return err == nil
}

// GuardSoftReboot does before a soft-reboot what the initramfs and the kernel's command
// line do for other trials: the machine resets if init hangs or the kernel panics.
func GuardSoftReboot(t be.Trial) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	before, err := os.ReadFile(panicParameter)
	if err == nil {
		err = os.WriteFile(guardFile, before, 0o644)
	}
	if err == nil {
		err = os.WriteFile(panicParameter, []byte(strconv.Itoa(activation.PanicSeconds)), 0o644)
	}
	return errors.Join(err, watchdog.Start(t.Deadline+activation.WatchdogGrace))
}

// UnguardSoftReboot reverses GuardSoftReboot if the machine has not left the running
// system. During a trial the system has a watchdog of its own.
func UnguardSoftReboot() error {
	if _, err := os.Lstat(guardFile); errors.Is(err, fs.ErrNotExist) || OnTrial() {
		return nil
	}
	return errors.Join(restorePanic(), watchdog.Stop())
}

// restorePanic restores the kernel's action at a panic from before GuardSoftReboot.
func restorePanic() error {
	before, err := regular.ReadFile(guardFile, regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(panicParameter, before, 0o644)
	}
	return errors.Join(err, os.Remove(guardFile))
}

// EndTrial reverses BeginTrial and the initramfs's part.
func EndTrial() error {
	errs := []error{stopDeadline(), restorePanic()}
	for _, file := range []string{trialFile, softreboot.TrialFile} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, watchdog.Stop())...)
}

// Reboot reboots into the loader's default, without a prepared kexec or soft-reboot. It
// syncs the journal first, because the journal has the reason.
func Reboot(ctx context.Context) error {
	systemd.SyncJournal(ctx)
	return systemd.Reboot(ctx)
}

// KeepJournal keeps, as text, the journal of a failed environment's trial. It does
// nothing if there is no stored journal.
func KeepJournal(ctx context.Context, st store.Store, e be.Env) error {
	t := e.Record.Trial
	if t == nil || t.BootID == "" {
		return nil
	}
	// By its descriptor, because the store's path leads through this process.
	journal, err := inroot.OpenDir(st.Path(e.Subvolume.Path), "var/log/journal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer journal.Close()
		err = keepJournal(ctx, journal, t.BootID, st.Path(be.FailedDir(e.Subvolume.UUID)))
	}
	if err != nil {
		return fmt.Errorf("cannot keep the journal of %s: %w", e.Name, err)
	}
	return nil
}

// The environment has written its journal, so it may contain anything.
const (
	journalLimit = 64 << 20        // the limit of the kept text, in bytes
	journalTime  = 2 * time.Minute // the limit for reading it
)

func keepJournal(ctx context.Context, journal *os.File, bootID, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(dir, "journal.txt"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() // a second time, after an error
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	complete, err := systemd.ReadJournal(ctx, journal, bootID, out, journalLimit)
	if err == nil && !complete {
		_, err = fmt.Fprintf(out, "\napt-be: the rest is not kept: it is more than %d MiB\n", journalLimit>>20)
	}
	return errors.Join(err, out.Sync(), out.Close())
}

// SetMotd shows a text at each login; "" removes it.
func SetMotd(text string) error {
	if text == "" {
		if err := os.Remove(motdFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(motdFile), 0o755); err != nil {
		return err
	}
	return os.WriteFile(motdFile, []byte(text), 0o644)
}
