// Package boot has what the loaders have in common: the entry that a boot
// environment gets in a loader's menu.
package boot

import (
	"slices"
	"strings"
	"unicode"

	"github.com/apt-be/apt-be/internal/fstab"
)

// Entry is one line of a loader's menu: a boot environment with one kernel.
type Entry struct {
	Name          string // of the boot environment; unique among the entries
	Title         string // what the menu shows; may hold anything
	FSUUID        string // of the btrfs file system
	Subvolume     string // path from the top of that file system, such as "@be/NAME"
	Kernel        string // absolute path as the loader reads it, see [InSubvolume]
	Initrd        string // likewise
	KernelVersion string // as uname -r would say
	Options       string // further kernel parameters, such as "quiet splash"
}

// InSubvolume is the path of a file of a boot environment for a loader that
// reads btrfs from its top, as Debian's GRUB (seen with 2.06) does whatever
// the file system's default subvolume is.
func InSubvolume(subvolume, file string) string {
	return "/" + strings.Trim(subvolume, "/") + "/" + strings.TrimLeft(file, "/")
}

// Parameters is the kernel command line, a string for each parameter, without
// quotes: the root and its subvolume, then Options. What Options says of the
// root is replaced, so the command line of a running kernel will do; further
// rootflags in it are kept. Without ro or rw in it, the root is mounted ro as
// initramfs-tools has it. The error is [fstab.ErrBadSubvolume].
func (e Entry) Parameters() ([]string, error) {
	var given []string
	for _, parameter := range fstab.Params(e.Options) {
		name, _, _ := strings.Cut(parameter, "=")
		switch name {
		case "root", "BOOT_IMAGE", "initrd":
			continue
		}
		given = append(given, fstab.Param(parameter))
	}
	if !slices.Contains(given, "ro") && !slices.Contains(given, "rw") {
		given = slices.Insert(given, 0, "ro")
	}
	line := strings.Join(append([]string{fstab.Param("root=UUID=" + e.FSUUID)}, given...), " ")
	withFlags, _, err := fstab.SetRootflags([]byte(line), e.Subvolume)
	if err != nil {
		return nil, err
	}
	return fstab.Params(string(withFlags)), nil
}

// CommandLine is [Entry.Parameters] as the kernel reads them.
func (e Entry) CommandLine() (string, error) {
	parameters, err := e.Parameters()
	if err != nil {
		return "", err
	}
	for i, parameter := range parameters {
		parameters[i] = fstab.Param(parameter)
	}
	return strings.Join(parameters, " "), nil
}

// OneLine makes a text fit for a line of a menu or of a configuration file:
// control characters and line separators become spaces.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}
