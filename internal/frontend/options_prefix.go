package frontend

import (
	"maps"
	"slices"
	"strings"
)

// byPrefix resolves the name of a long option like getopt_long(3) and Python's
// optparse: an exact match, otherwise the only option with that prefix.
func byPrefix[T any](options map[string]T, name string) (full string, found bool) {
	if _, exact := options[name]; exact {
		return name, true
	}
	for _, candidate := range slices.Sorted(maps.Keys(options)) {
		if !strings.HasPrefix(candidate, name) {
			continue
		}
		if found {
			return "", false
		}
		full, found = candidate, true
	}
	return full, found
}
