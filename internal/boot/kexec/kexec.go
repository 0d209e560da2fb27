// Package kexec makes the running kernel start another one without firmware
// and boot loader, by kexec_file_load(2) alone. The kernel that is loaded is
// started by `systemctl kexec`, which needs no kexec-tools then (seen with
// systemd 252 and 257). A loaded kernel has to be unloaded to take that back:
// a plain `systemctl reboot` of systemd 257, not yet of 252, starts it too,
// unless SYSTEMCTL_SKIP_AUTO_KEXEC=1 is in its environment.
package kexec

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxCommandLine is how long a kernel's command line may be, in bytes. On
// x86 a kernel takes 2047 (COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h
// with its final NUL), of which kexec_file_load(2) keeps 30 for the
// elfcorehdr= of a crash kernel and one for the NUL.
const MaxCommandLine = 2047 - 30 - 1

// ErrCommandLine says that a command line is none that a kernel can be given.
var ErrCommandLine = errors.New("not a command line for kexec")

// Load makes kernel the one that a kexec starts, with its initrd, which may be
// nil, and its command line. It replaces one that was loaded before. The
// files can be closed then: the running kernel has copies in memory.
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
		return fmt.Errorf("%w: it is %d bytes long, and %d is the most", ErrCommandLine, len(commandLine), MaxCommandLine)
	case strings.ContainsAny(commandLine, "\x00\n"):
		return fmt.Errorf("%w: it is more than one line", ErrCommandLine)
	}
	return nil
}

// Unload forgets the kernel that was loaded, if any.
func Unload() error {
	if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
		return fmt.Errorf("cannot unload the kernel that is loaded for kexec: %w", explain(err, lockdown()))
	}
	return nil
}

const loadedFile = "/sys/kernel/kexec_loaded"

// Loaded says whether a kernel is loaded, whoever did that. A crash kernel
// does not count. A kernel without kexec has none loaded.
func Loaded() (bool, error) {
	text, err := os.ReadFile(loadedFile)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot find out whether a kernel is loaded for kexec: %w", err)
	}
	return strings.TrimSpace(string(text)) == "1", nil
}
