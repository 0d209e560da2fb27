package store

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// LongestPath is how long the paths are that Changed returns, in bytes, but for those
// of what is directly in such a directory. Every user can make longer ones than
// anybody can open, and so many that together they fit into no memory.
const LongestPath = 3 << 10

// Cut returns what stands for a path: itself, or the outermost directory above it that
// is longer than LongestPath.
func Cut(p string) string {
	if len(p) <= LongestPath {
		return p
	}
	if end := strings.IndexByte(p[LongestPath+1:], '/'); end >= 0 {
		return p[:LongestPath+1+end]
	}
	return p
}

// CheckPath returns an error that wraps ErrBadPath unless p is a path as a
// Store takes it: relative to the top level, cleaned, and inside the store.
// "." is the top level itself. Names may hold every byte but NUL.
func CheckPath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("%w: the path is empty", ErrBadPath)
	case strings.HasPrefix(p, "/"):
		return fmt.Errorf("%w: %q is absolute", ErrBadPath, p)
	case strings.ContainsRune(p, 0):
		return fmt.Errorf("%w: %q has a NUL byte", ErrBadPath, p)
	case path.Clean(p) != p:
		return fmt.Errorf("%w: %q is not cleaned", ErrBadPath, p)
	case p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%w: %q leaves the store", ErrBadPath, p)
	}
	return nil
}

// CheckNewPath is CheckPath for a place where a subvolume is made, moved or
// deleted, which "." is not.
func CheckNewPath(p string) error {
	if p == "." {
		return fmt.Errorf("%w: %q is the top level", ErrBadPath, p)
	}
	return CheckPath(p)
}

// CheckExchange is CheckNewPath for two subvolumes that change their places.
func CheckExchange(p, with string) error {
	for _, each := range []string{p, with} {
		if err := CheckNewPath(each); err != nil {
			return err
		}
	}
	if p == with || strings.HasPrefix(p, with+"/") || strings.HasPrefix(with, p+"/") {
		return fmt.Errorf("%w: one of %q and %q is in the other", ErrBadPath, p, with)
	}
	return nil
}

// ComparePaths compares two paths name by name, as slices.SortFunc wants it:
// what is in a directory comes right after it.
func ComparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}
