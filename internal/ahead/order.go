package ahead

import (
	"path/filepath"
	"strings"
)

// Order returns package files in the order in which they are wanted first.
// given is dpkg's order. sources has the source packages of what is installed,
// by the binary packages' names.
//
// apt-listchanges(1) comes before dpkg, and all wait for it. It looks into one
// binary package of each source that is installed, as a rule the first.
func Order(given []string, sources map[string]string) []string {
	var first, rest []string
	seen := map[string]bool{}
	for _, file := range given {
		name, _, _ := strings.Cut(filepath.Base(file), "_")
		source := sources[name]
		if source == "" || seen[source] {
			rest = append(rest, file)
			continue
		}
		seen[source] = true
		first = append(first, file)
	}
	return append(first, rest...)
}

// Sources reads the lines "PACKAGE SOURCE", as dpkg-query(1) prints them.
func Sources(lines string) map[string]string {
	sources := map[string]string{}
	for line := range strings.Lines(lines) {
		if name, source, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			sources[name] = source
		}
	}
	return sources
}
