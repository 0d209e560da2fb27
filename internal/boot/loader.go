package boot

import "io"

// Loader is a boot loader whose menu can hold boot environments.
type Loader interface {
	// String names it.
	String() string
	// SetEntries makes entries the ones of boot environments in its menu;
	// those of an earlier call that are not among them go. A loader that
	// can't read btrfs copies kernels and initrds from files.
	SetEntries(entries []Entry, files Files) error
}

// Files opens a file of a boot environment by its path from the top level.
type Files func(path string) (io.ReadCloser, error)
