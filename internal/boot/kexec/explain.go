package kexec

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// explain adds the meaning to an error of kexec_file_load(2), if the usual text of its
// number misleads. lockdown is the mode of lockdown(7).
func explain(err error, lockdown string) error {
	meaning := ""
	switch {
	case errors.Is(err, unix.EPERM) && lockdown != "":
		meaning = fmt.Sprintf("the kernel is locked down (%s) and accepts only images that are signed with a known key", lockdown)
	case errors.Is(err, unix.EPERM):
		meaning = "CAP_SYS_BOOT is missing, or kernel.kexec_load_disabled or kernel.kexec_load_limit_reboot forbids it"
	case errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENODATA), errors.Is(err, unix.EBADMSG):
		meaning = "the image is not signed with a key that the running kernel knows"
	case errors.Is(err, unix.ENOSYS):
		meaning = "the running kernel was built without kexec_file_load"
	case errors.Is(err, unix.ENOEXEC):
		meaning = "it is not a kernel of this architecture that kexec can start"
	case errors.Is(err, unix.EBUSY):
		meaning = "another process is loading a kernel"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EADDRNOTAVAIL):
		meaning = "there is no memory for a copy of the kernel"
	case errors.Is(err, unix.EINVAL):
		meaning = "a file is empty or not a kernel, or the command line is too long for that kernel"
	case errors.Is(err, unix.ETXTBSY):
		meaning = "a process has the file open for writing"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", meaning, err)
}

// lockdown returns the mode of lockdown(7), or "" if there is none.
func lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	return lockdownMode(string(text))
}

// lockdownMode reads the mode from a line such as "none [integrity]
// confidentiality".
func lockdownMode(text string) string {
	_, rest, _ := strings.Cut(text, "[")
	mode, _, _ := strings.Cut(rest, "]")
	if mode == "none" {
		return ""
	}
	return mode
}
