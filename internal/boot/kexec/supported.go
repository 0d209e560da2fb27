package kexec

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that this machine does no kexec. The text says why.
var ErrUnsupported = errors.New("kexec is not possible")

// facts are what is known of the running kernel without asking it to load
// anything.
type facts struct {
	present  bool   // the kernel has kexec
	disabled bool   // kernel.kexec_load_disabled, which can't be taken back
	capable  bool   // this process has CAP_SYS_BOOT
	limit    string // kernel.kexec_load_limit_reboot; "" before Linux 6.3
}

// Supported says whether this machine can kexec at all, as an error that is
// ErrUnsupported. Whether the running kernel takes a certain image is for
// [Probe] to find out: under lockdown(7) it depends on the signature.
func Supported() error {
	var f facts
	if text, err := os.ReadFile(loadedFile); err == nil {
		f.present = len(text) > 0
	}
	f.disabled = setting("kexec_load_disabled") == "1"
	f.limit = setting("kexec_load_limit_reboot")
	var err error
	if f.capable, err = capable(); err != nil {
		return fmt.Errorf("cannot find out whether kexec is possible: %w", err)
	}
	return f.refusal()
}

func (f facts) refusal() error {
	switch {
	case !f.present:
		return fmt.Errorf("%w: the running kernel was built without it", ErrUnsupported)
	case f.disabled:
		return fmt.Errorf("%w: kernel.kexec_load_disabled is 1, and stays so until the next boot", ErrUnsupported)
	case f.limit == "0":
		return fmt.Errorf("%w: kernel.kexec_load_limit_reboot is 0, and stays so until the next boot", ErrUnsupported)
	case !f.capable:
		return fmt.Errorf("%w: this process lacks CAP_SYS_BOOT", ErrUnsupported)
	}
	return nil
}

// setting is a sysctl of the kernel, or "" if there is none of that name.
func setting(name string) string {
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// capable says whether this process has CAP_SYS_BOOT.
func capable() (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	return effective(string(status), unix.CAP_SYS_BOOT)
}

// effective reads a capability from what proc_pid_status(5) describes.
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

// ErrLoaded says that a kernel is loaded already, which a probe would lose.
var ErrLoaded = errors.New("a kernel is loaded for kexec already")

// Probe proves that the running kernel takes kernel for a kexec: it loads it,
// without an initrd, and unloads it again. It does not where a kernel is
// loaded already: ErrLoaded. It needs some 50 MiB of memory for a moment, and
// uses up one of kernel.kexec_load_limit_reboot, where that is set.
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
