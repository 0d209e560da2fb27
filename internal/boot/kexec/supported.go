package kexec

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsupported reports that this machine cannot kexec. The text has the reason.
var ErrUnsupported = errors.New("kexec is not possible")

// facts describe the running kernel, without a load.
type facts struct {
	present  bool   // the kernel has kexec
	disabled bool   // kernel.kexec_load_disabled, which cannot be reset
	capable  bool   // this process has CAP_SYS_BOOT
	limit    string // kernel.kexec_load_limit_reboot; "" before Linux 6.3
}

// Supported returns an ErrUnsupported if this machine cannot kexec at all. [Probe]
// finds out whether the running kernel accepts a certain image: under lockdown(7) this
// depends on the signature.
func Supported() error {
	var f facts
	if text, err := os.ReadFile(loadedFile); err == nil {
		f.present = len(text) > 0
	}
	f.disabled = setting("kexec_load_disabled") == "1"
	f.limit = setting("kexec_load_limit_reboot")
	var err error
	if f.capable, err = capable(); err != nil {
		return fmt.Errorf("cannot determine whether kexec is possible: %w", err)
	}
	return f.refusal()
}

func (f facts) refusal() error {
	switch {
	case !f.present:
		return fmt.Errorf("%w: the running kernel was built without it", ErrUnsupported)
	case f.disabled:
		return fmt.Errorf("%w: kernel.kexec_load_disabled is 1 until the next boot", ErrUnsupported)
	case f.limit == "0":
		return fmt.Errorf("%w: kernel.kexec_load_limit_reboot is 0 until the next boot", ErrUnsupported)
	case !f.capable:
		return fmt.Errorf("%w: this process lacks CAP_SYS_BOOT", ErrUnsupported)
	}
	return nil
}

// setting returns a sysctl of the kernel, or "" if it does not exist.
func setting(name string) string {
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// capable reports whether this process has CAP_SYS_BOOT.
func capable() (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	return effective(string(status), unix.CAP_SYS_BOOT)
}

// effective reports whether a process has a capability, from the text of
// proc_pid_status(5).
func effective(status string, capability uint) (bool, error) {
	for line := range strings.Lines(status) {
		value, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return set&(1<<capability) != 0, err
	}
	return false, errors.New("no CapEff in the status of this process")
}

// ErrLoaded reports that a kernel is already loaded, which a probe would unload.
var ErrLoaded = errors.New("a kernel is already loaded for kexec")

// Probe checks that the running kernel accepts kernel for a kexec: it loads it, without
// an initrd, and unloads it. If a kernel is already loaded, the error is ErrLoaded.
// Probe needs about 50 MiB of memory for a moment, and one load of
// kernel.kexec_load_limit_reboot, if that is set.
func Probe(kernel *os.File) error {
	if err := Supported(); err != nil {
		return err
	}
	loaded, err := Loaded()
	if err != nil {
		return err
	}
	if loaded {
		return ErrLoaded
	}
	if err := Load(kernel, nil, ""); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return Unload()
}
