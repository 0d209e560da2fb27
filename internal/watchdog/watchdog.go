// Package watchdog has the kernel reset the machine unless it is told in time
// that all is well, by the driver softdog, which every Debian kernel has.
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
	// identity is what softdog calls itself (drivers/watchdog/softdog.c).
	identity = "Software Watchdog"
)

// Longest is softdog's longest time. Told of a longer one when it is loaded, it
// takes a minute (drivers/watchdog/watchdog_core.c).
const Longest = 65535 * time.Second

// device is a watchdog's: its directory in /sys, and its node.
type device struct{ sys, node string }

// find returns the device of softdog, or an fs.ErrNotExist. class and dev are
// /sys/class/watchdog and /dev.
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
	return device{}, fmt.Errorf("there is no %s: %w", module, fs.ErrNotExist)
}

func softdog() (device, error) { return find("/sys/class/watchdog", "/dev") }

// active says whether the watchdog has been started, and is to be fed.
func (d device) active() bool {
	state, err := os.ReadFile(filepath.Join(d.sys, "state"))
	return err != nil || strings.TrimSpace(string(state)) == "active"
}

// Start makes the kernel reset the machine after a time, counted from now even
// if the watchdog was running. One that another process holds, such as systemd
// with RuntimeWatchdogSec=, is left to it: that feeds it for as long as it lives.
func Start(after time.Duration) error {
	d, err := softdog()
	if errors.Is(err, fs.ErrNotExist) {
		// With nowayout there would be no Stop.
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
	// It runs from the open on, and on after a close without a "V"
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

// Stop takes a Start back, or what an initramfs did to the same end. It does
// nothing if no watchdog runs, or if another process has taken it over.
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

// seconds are those that the driver takes, at least one.
func seconds(d time.Duration) int {
	return int(min(max(d, time.Second), Longest) / time.Second)
}
