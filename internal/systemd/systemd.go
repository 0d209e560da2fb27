// Package systemd runs systemd's tools: systemctl(1), systemd-run(1) and journalctl(1).
// It is the only package that does.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Running reports whether systemd is the init of the running system (sd_booted(3)).
func Running() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// Version returns the version of the running init, such as "257.8-1~deb13u2". It may be
// older than the installed package. It returns "" if systemd is not running.
func Version() (string, error) {
	if !Running() {
		return "", nil
	}
	out, err := exec.Command("systemctl", "show", "--property=Version", "--value").Output()
	if err != nil {
		return "", fmt.Errorf("cannot ask systemd for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Systemctl runs systemctl and returns its output. The error contains the text that
// systemctl wrote to standard error.
func Systemctl(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// Stopping reports whether the machine, or all of its userspace, is going down.
func Stopping(ctx context.Context) bool {
	// The exit status is 0 only for "running".
	said, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output()
	return strings.TrimSpace(string(said)) == "stopping"
}

// End starts a verb of systemctl that ends the running system, such as "kexec" or
// "soft-reboot" (systemd 254), and does not wait for it.
func End(ctx context.Context, verb string) error {
	if said, err := exec.CommandContext(ctx, "systemctl", "--no-block", verb).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot %s: %w: %s", verb, err, said)
	}
	return nil
}

// Reboot starts a reboot through firmware and boot loader, without a prepared kexec or
// soft-reboot, and does not wait for it.
func Reboot(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "systemctl", "--no-block", "reboot")
	cmd.Env = append(os.Environ(), "SYSTEMCTL_SKIP_AUTO_KEXEC=1", "SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT=1")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot reboot: %w: %s", err, said)
	}
	return nil
}

// DaemonReload is the command that makes systemd read the fstab and its units again. It
// is for callers that run commands through a fake in tests.
func DaemonReload() []string { return []string{"systemctl", "daemon-reload"} }

// Timer is a transient timer that runs a command once.
type Timer struct {
	Unit    string // the name of the timer and of its service, without a suffix
	After   time.Duration
	Command []string // an absolute path and its arguments
}

// Start starts the timer. It works early in the boot and without D-Bus. The timer has no
// default dependencies, because these, and waiting for the timer, would wait for the
// boot.
func (t Timer) Start() error {
	args := []string{"--quiet", "--no-block", "--unit=" + t.Unit,
		"--property=DefaultDependencies=no",
		"--timer-property=DefaultDependencies=no", "--timer-property=Conflicts=shutdown.target",
		"--timer-property=IgnoreOnIsolate=yes", "--timer-property=AccuracySec=1s",
		fmt.Sprintf("--on-active=%d", int(t.After/time.Second))}
	said, err := exec.Command("systemd-run", append(args, t.Command...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// StopTimer stops a timer. It does nothing if the timer does not exist.
func StopTimer(unit string) error {
	said, err := exec.Command("systemctl", "stop", unit+".timer").CombinedOutput()
	if err != nil && !strings.Contains(string(said), "not loaded") {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}
