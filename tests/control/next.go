// Package control edits the control files of packages that tests make of others
// (deb-control(5)).
package control

import (
	"regexp"
	"strings"
)

// exactly matches the relation to exactly one version of a package.
var exactly = regexp.MustCompile(`([a-z0-9][a-z0-9+.-]*)(:[a-z0-9]+)? \(= ([^)]+)\)`)

// Next returns the control file of a package's next version, which is its own
// with a suffix. versions has those of all packages that get a next one. Debian
// binds what is
// built from one source by "(= version)": such relations move on too. What a
// package provides does not: that may be of any version.
func Next(control string, versions map[string]string, suffix string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(control, "\n"), "\n")
	field := ""
	for i, line := range lines {
		if name, _, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			field = name
		}
		switch field {
		case "Version":
			lines[i] = strings.TrimSuffix(line, "\n") + suffix + "\n"
		case "Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts", "Replaces":
			lines[i] = exactly.ReplaceAllStringFunc(line, func(relation string) string {
				match := exactly.FindStringSubmatch(relation)
				if match[3] != versions[match[1]] {
					return relation
				}
				return strings.TrimSuffix(relation, ")") + suffix + ")"
			})
		}
	}
	return strings.TrimSuffix(strings.Join(lines, ""), "\n") + "\n"
}
