package store

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckPath returns an ErrBadPath unless p is a valid path for a Store: relative to the
// top level, cleaned, and inside the store. "." is the top level. Names may contain
// every byte except NUL.
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

// CheckNewPath is CheckPath for a subvolume to create, move or delete; it rejects ".".
func CheckNewPath(p string) error {
	if p == "." {
		return fmt.Errorf("%w: %q is the top level", ErrBadPath, p)
	}
	return CheckPath(p)
}

// CheckExchange is CheckNewPath for two subvolumes to exchange.
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

// ComparePaths compares two paths name by name, for slices.SortFunc. A directory sorts
// directly before its content.
func ComparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}
