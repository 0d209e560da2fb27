// Package kexec makes the running kernel start another one without firmware and boot
// loader, by kexec_file_load(2) only. `systemctl kexec` starts a loaded kernel, and
// then does not need kexec-tools (seen with systemd 252 and 257). To reverse a load,
// unload the kernel: a plain `systemctl reboot` of systemd 257, but not of 252, also
// starts it, unless SYSTEMCTL_SKIP_AUTO_KEXEC=1 is in its environment.
package kexec

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxCommandLine is the maximum length of a kernel's command line, in bytes. On x86 a
// kernel takes 2047 (COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h with its final
// NUL). Of these, kexec_file_load(2) uses 30 for the elfcorehdr= of a crash kernel, and
// one for the NUL.
const MaxCommandLine = 2047 - 30 - 1

// ErrCommandLine reports that a kernel cannot be given a command line.
var ErrCommandLine = errors.New("not a command line for kexec")

// Load loads kernel for the next kexec, with its initrd, which may be nil, and its
// command line. It replaces a loaded kernel. The files may be closed afterwards: the
// running kernel has copies in memory.
func Load(kernel, initrd *os.File, commandLine string) error {
	if err := checkCommandLine(commandLine); err != nil {
		return err
	}
	flags, initrdFD := 0, -1
	if initrd == nil {
		flags |= unix.KEXEC_FILE_NO_INITRAMFS
	} else {
		initrdFD = int(initrd.Fd())
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), initrdFD, commandLine, flags); err != nil {
		return fmt.Errorf("cannot load the kernel %s: %w", kernel.Name(), explain(err, lockdown()))
	}
	return nil
}

func checkCommandLine(commandLine string) error {
	switch {
	case len(commandLine) > MaxCommandLine:
		return fmt.Errorf("%w: it has %d bytes, the maximum is %d", ErrCommandLine, len(commandLine), MaxCommandLine)
	case strings.ContainsAny(commandLine, "\x00\n"):
		return fmt.Errorf("%w: it has more than one line", ErrCommandLine)
	}
	return nil
}

// Unload unloads the loaded kernel, if any.
func Unload() error {
	if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
		return fmt.Errorf("cannot unload the kernel for kexec: %w", explain(err, lockdown()))
	}
	return nil
}

const loadedFile = "/sys/kernel/kexec_loaded"

// Loaded reports whether any program has loaded a kernel. A crash kernel does not
// count. A kernel without kexec has none loaded.
func Loaded() (bool, error) {
	text, err := os.ReadFile(loadedFile)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot determine whether a kernel is loaded for kexec: %w", err)
	}
	return strings.TrimSpace(string(text)) == "1", nil
}
