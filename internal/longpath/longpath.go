// Package longpath says which paths are too long to be looked at one by one. Any user
// can make directories so deep that no path leads there (PATH_MAX), and so many that
// together their paths fit into no memory.
package longpath

import "strings"

// A path of more bytes than Bytes, or of more than Names names, is too long. What is
// directly in a directory of which neither is true can still be opened, and so can what
// is put beside that.
const (
	Bytes = 3 << 10
	Names = 128
)

// Is says whether a path is too long.
func Is(name string) bool {
	return len(name) > Bytes || len(name) >= 2*Names && strings.Count(name, "/") >= Names
}

// Cut returns what stands for a path: itself, or the outermost directory above it whose
// own path is too long.
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
