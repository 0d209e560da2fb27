// Package boot has the common part of the boot loaders: a boot environment's entry in
// the menu.
package boot

import (
	"slices"
	"strings"
	"unicode"

	"github.com/apt-be/apt-be/internal/fstab"
)

// Entry is one entry of a loader's menu: a boot environment with one kernel.
type Entry struct {
	Name          string // of the boot environment, unique among the entries
	Title         string // the text in the menu; may contain any characters
	FSUUID        string // of the btrfs file system
	Subvolume     string // path from the top level of that file system, such as "@be/NAME"
	Kernel        string // absolute path for the loader, see [InSubvolume]
	Initrd        string // likewise
	KernelVersion string // as uname -r prints it
	Options       string // further kernel parameters, such as "quiet splash"
}

// InSubvolume returns the path of a boot environment's file for a loader that reads
// btrfs from the top level, as Debian's GRUB does (seen with 2.06), whatever the
// default subvolume is.
func InSubvolume(subvolume, file string) string {
	return "/" + strings.Trim(subvolume, "/") + "/" + strings.TrimLeft(file, "/")
}

// Parameters returns the kernel command line, one string for each parameter, without
// quotes: the root and its subvolume, then Options. It replaces the root in Options, so
// a running kernel's command line can be used, and keeps other rootflags. Without ro or
// rw in Options, the root is mounted ro, as initramfs-tools does. The error is
// [fstab.ErrBadSubvolume].
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

// CommandLine returns [Entry.Parameters] in the kernel's syntax.
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

// OneLine replaces control characters and line separators by spaces, for a line of a
// menu or of a configuration file.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}
