package boot

import (
	"errors"
	"io"
)

// ErrNoSpace reports that a file system that the loader reads is too full.
var ErrNoSpace = errors.New("no space left")

// Menu is what a loader must know about boot environments.
type Menu struct {
	Entries []Entry // in the order of the menu
	Default string  // the Name of the entry that boots unless the user chooses another
	Trial   *Trial  // a trial that can be armed; nil if there is none
}

// Trial is a boot of an entry that is tried once. If it is armed, the loader takes it,
// and records this before it starts the kernel: any later reset boots the default.
type Trial struct {
	Entry Entry  // with the kernel parameters of a trial in its Options
	Nonce string // hexadecimal digits, unique for each trial
}

// State is a loader's memory of trials, by their nonces.
type State struct {
	Armed   string // the next boot takes this trial, which is in the menu
	Tried   string // the last trial that was taken
	Missing string // "kernel" or "initrd" if the loader did not find that file of the taken trial
}

// Loader is a boot loader with boot environments in its menu.
type Loader interface {
	// String returns its name.
	String() string
	// SetMenu sets the menu of the next boots. A crash leaves the old or the new menu.
	// A loader that cannot read btrfs gets copies of kernels and initrds from files. If
	// there is no space for them, the error is ErrNoSpace, and nothing was changed.
	SetMenu(menu Menu, files Files) error
	// Default returns the name of the entry that boots unless a trial is armed or the
	// user chooses another, or "".
	Default() (string, error)
	// CheckSpace checks that further kernels and initrds of that many bytes fit where
	// the loader reads them: ErrNoSpace.
	CheckSpace(bytes int64) error
	TrialLoader
}

// TrialLoader is the part of a loader that tries an entry once.
type TrialLoader interface {
	// Level returns the level of a trial's protection, with the reason.
	Level() (Level, string)
	// Arm makes the next boot take the menu's trial with this nonce. The change is one
	// write, and durable when Arm returns.
	Arm(nonce string) error
	// Disarm forgets all trials, including taken ones. It needs no disk space.
	Disarm() error
	// State reads the loader's memory from the place where the loader keeps it.
	State() (State, error)
}

// Level is the earliest stage of a boot at which a failure still leads to a fallback by
// itself.
type Level string

// The levels, from the best to the worst.
const (
	LevelKernel    Level = "kernel"    // a kernel or initrd that is missing, hangs or panics
	LevelInitramfs Level = "initramfs" // all failures after the start of the initramfs
	LevelUserspace Level = "userspace" // services that do not start
	LevelNone      Level = "none"
)

// Files opens a file of a boot environment by its path from the top level,
// see [InSubvolume].
type Files func(path string) (io.ReadCloser, error)
