// Package longpath reports which paths are too long to be listed one by one. Every user
// can create directories so deep that no path leads there (PATH_MAX), and so many that
// their paths together exceed the memory.
package longpath

import "strings"

// A path is too long if it has more than Bytes bytes or more than Names names. The
// entries of a directory within both limits can still be opened, as can a new file
// beside them.
const (
	Bytes = 3 << 10
	Names = 128
)

// Is reports whether a path is too long.
func Is(name string) bool {
	return len(name) > Bytes || len(name) >= 2*Names && strings.Count(name, "/") >= Names
}

// Cut returns the path itself, or the outermost directory above it whose path is too
// long.
func Cut(name string) string {
	if !Is(name) {
		return name
	}
	for end, names := 0, 0; ; names++ {
		next := strings.IndexByte(name[end:], '/')
		if next < 0 {
			return name
		}
		if end += next; end > Bytes || names >= Names {
			return name[:end]
		}
		end++
	}
}
