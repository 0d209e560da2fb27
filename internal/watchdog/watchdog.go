// Package watchdog makes the kernel reset the machine unless a process prevents it in
// time. It uses the driver softdog, which every Debian kernel has.
package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	module = "softdog"
	// identity is the name of softdog (drivers/watchdog/softdog.c).
	identity = "Software Watchdog"
)

// Longest is the maximum time of softdog. For a longer time, softdog takes a minute
// when it is loaded (drivers/watchdog/watchdog_core.c).
const Longest = 65535 * time.Second

// device is a watchdog device: its directory in /sys, and its node.
type device struct{ sys, node string }

// find returns softdog's device. The error is fs.ErrNotExist if there is none. class
// and dev are /sys/class/watchdog and /dev.
func find(class, dev string) (device, error) {
	dirs, err := filepath.Glob(filepath.Join(class, "watchdog*"))
	if err != nil {
		return device{}, err
	}
	for _, dir := range dirs {
		name, err := os.ReadFile(filepath.Join(dir, "identity"))
		if err == nil && strings.TrimSpace(string(name)) == identity {
			return device{sys: dir, node: filepath.Join(dev, filepath.Base(dir))}, nil
		}
	}
	return device{}, fmt.Errorf("no %s: %w", module, fs.ErrNotExist)
}

func softdog() (device, error) { return find("/sys/class/watchdog", "/dev") }

// active reports whether the watchdog has been started and needs feeding.
func (d device) active() bool {
	state, err := os.ReadFile(filepath.Join(d.sys, "state"))
	return err != nil || strings.TrimSpace(string(state)) == "active"
}

// Start makes the kernel reset the machine after a time, counted from now even if the
// watchdog was running. If another process has the watchdog, such as systemd with
// RuntimeWatchdogSec=, Start leaves it to that process, which feeds it during its
// lifetime.
func Start(after time.Duration) error {
	d, err := softdog()
	if errors.Is(err, fs.ErrNotExist) {
		// With nowayout, Stop would not work.
		if said, err := exec.Command("modprobe", module, "nowayout=0").CombinedOutput(); err != nil {
			return fmt.Errorf("cannot start a watchdog: modprobe: %w: %s", err, strings.TrimSpace(string(said)))
		}
		d, err = softdog()
	}
	if err != nil {
		return fmt.Errorf("cannot start a watchdog: %w", err)
	}
	f, err := os.OpenFile(d.node, os.O_WRONLY, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot start a watchdog: %w", err)
	}
	// The watchdog runs from the open, and continues after a close without a "V"
	// (Documentation/watchdog/watchdog-api.rst).
	err = errors.Join(
		unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, seconds(after)),
		unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_KEEPALIVE, 0),
		f.Close(),
	)
	if err != nil {
		return fmt.Errorf("cannot start a watchdog: %w", err)
	}
	return nil
}

// Stop reverses Start, or the start by an initramfs. It does nothing if no watchdog
// runs, or if another process has taken it over.
func Stop() error {
	d, err := softdog()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot stop the watchdog: %w", err)
	}
	if !d.active() {
		return nil
	}
	f, err := os.OpenFile(d.node, os.O_WRONLY, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot stop the watchdog: %w", err)
	}
	_, err = f.WriteString("V")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot stop the watchdog: %w", err)
	}
	return nil
}

// seconds returns the whole seconds for the driver, at least one.
func seconds(d time.Duration) int {
	return int(min(max(d, time.Second), Longest) / time.Second)
}
