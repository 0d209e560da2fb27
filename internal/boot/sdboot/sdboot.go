// Package sdboot writes the entries of boot environments for systemd-boot and
// other loaders that follow the Boot Loader Specification.
package sdboot

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

// EntryID is the name of a boot environment's entry without its ".conf", and
// without the counter of boot attempts that systemd-boot keeps in the name.
// That counter begins with a plus sign, so one in name is written as _p and
// an underscore as two.
func EntryID(name string) string {
	return "apt-be-" + strings.NewReplacer("_", "__", "+", "_p").Replace(name)
}

// Entry returns the name and the contents of a type #1 entry, a file for
// /loader/entries/ of the ESP or XBOOTLDR partition on which e's kernel and
// initrd are. Entries sort by kernel version, newest first. The error is that
// of [boot.Entry.Parameters].
func Entry(e boot.Entry) (filename string, content []byte, err error) {
	commandLine, err := e.CommandLine()
	if err != nil {
		return "", nil, fmt.Errorf("cannot write a boot entry for %s: %w", e.Name, err)
	}
	var text bytes.Buffer
	text.WriteString("# Written by apt-be.\n")
	for _, field := range [][2]string{
		{"title", e.Title},
		{"sort-key", "apt-be"},
		{"version", e.KernelVersion},
		{"linux", e.Kernel},
		{"initrd", e.Initrd},
		{"options", commandLine},
	} {
		if value := boot.OneLine(field[1]); value != "" {
			fmt.Fprintf(&text, "%-10s %s\n", field[0], value)
		}
	}
	return EntryID(e.Name) + ".conf", text.Bytes(), nil
}
