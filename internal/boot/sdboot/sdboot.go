// Package sdboot keeps the menu of systemd-boot: entries for boot environments, one of
// which is the default, and one of which can be tried once.
//
// The statements about systemd-boot come from its source, src/boot/boot.c of versions
// 252 and 257, and were observed with both.
package sdboot

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

const (
	prefix = "apt-be-"
	suffix = ".conf"
)

// EntryID returns the name of a boot environment's entry without its ".conf". It
// contains no plus sign, which begins a counter of boot attempts, and no capitals,
// because FAT ignores case and systemd-boot compares in lower case. So plus becomes _p,
// X becomes _ux, and an underscore becomes two. It never equals a trial's: trial-
// becomes trial_-.
func EntryID(name string) string {
	var id strings.Builder
	id.WriteString(prefix)
	rest, found := strings.CutPrefix(name, "trial-")
	if found {
		id.WriteString("trial_-")
	}
	for _, c := range []byte(rest) {
		switch {
		case c == '_':
			id.WriteString("__")
		case c == '+':
			id.WriteString("_p")
		case 'A' <= c && c <= 'Z':
			id.WriteString("_u" + strings.ToLower(string(rune(c))))
		default:
			id.WriteByte(c)
		}
	}
	return id.String()
}

// nameOf reverses EntryID; "" if id is not apt-be's.
func nameOf(id string) string {
	rest, found := strings.CutPrefix(id, prefix)
	if !found || strings.HasPrefix(rest, "trial-") {
		return ""
	}
	var name strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '_' || i+1 == len(rest) {
			name.WriteByte(rest[i])
			continue
		}
		i++
		switch rest[i] {
		case 'p':
			name.WriteByte('+')
		case 'u':
			if i++; i < len(rest) {
				name.WriteString(strings.ToUpper(rest[i : i+1]))
			}
		default: // _ and -
			name.WriteByte(rest[i])
		}
	}
	return name.String()
}

// Entry returns the name and the contents of a type #1 entry of the Boot Loader
// Specification, a file for /loader/entries/ of the partition with e's kernel and
// initrd. The menu is sorted by sortKey, then by kernel version, newest first. The
// error is that of [boot.Entry.Parameters].
func Entry(e boot.Entry, sortKey string) (filename string, content []byte, err error) {
	commandLine, err := e.CommandLine()
	if err != nil {
		return "", nil, fmt.Errorf("cannot write a boot entry for %s: %w", e.Name, err)
	}
	var text bytes.Buffer
	text.WriteString("# Written by apt-be.\n")
	for _, field := range [][2]string{
		{"title", e.Title},
		{"sort-key", sortKey},
		{"version", e.KernelVersion},
		{"linux", e.Kernel},
		{"initrd", e.Initrd},
		{"options", commandLine},
	} {
		if value := boot.OneLine(field[1]); value != "" {
			fmt.Fprintf(&text, "%-10s %s\n", field[0], value)
		}
	}
	return EntryID(e.Name) + suffix, text.Bytes(), nil
}
