package redirect

import (
	"maps"
	"slices"
	"strings"
)

// byPrefix finds the long option that a name stands for as getopt_long(3) and
// Python's optparse do: the one of that name, else the only one that starts
// with it.
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
