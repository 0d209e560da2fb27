package boot

import (
	"errors"
	"io"
)

// ErrNoSpace says that a file system that the loader reads is too full.
var ErrNoSpace = errors.New("no space left")

// Menu is all that a loader has to know of boot environments.
type Menu struct {
	Entries []Entry // in the order in which they are shown
	Default string  // the Name of the entry that boots unless something is chosen
	Trial   *Trial  // one that can be armed; nil if there is none
}

// Trial is a boot of an entry that is tried once. The loader takes it when it
// is armed, and remembers that it did before it starts the kernel: whatever
// resets the machine then leads to the default.
type Trial struct {
	Entry Entry  // with the kernel parameters of a trial in its Options
	Nonce string // of hexadecimal digits; tells this trial from any other
}

// State is what a loader remembers of trials, by their nonces.
type State struct {
	Armed   string // the next boot takes this one, which is in the menu
	Tried   string // the last one that was taken
	Missing string // "kernel" or "initrd", if the loader did not find that of the one that was taken
}

// Loader is a boot loader whose menu holds boot environments.
type Loader interface {
	// String names it.
	String() string
	// SetMenu makes menu the one that the next boots show. A crash leaves the
	// old one or the new one. A loader that can't read btrfs gets copies of
	// kernels and initrds from files: ErrNoRoom, before anything is changed,
	// if there is no room for them.
	SetMenu(menu Menu, files Files) error
	// Default is the name of the entry that boots unless a trial is armed or
	// something is chosen, or "".
	Default() (string, error)
	// CheckSpace checks that there is room for bytes more of kernels and initrds
	// where the loader reads them: ErrNoRoom.
	CheckSpace(bytes int64) error
	TrialLoader
}

// TrialLoader is the part of a loader that tries an entry once.
type TrialLoader interface {
	// Level says what such a trial is safe from, and why.
	Level() (Level, string)
	// Arm makes the next boot take the trial with nonce, which is in the menu.
	// The change is one write, and durable when Arm returns.
	Arm(nonce string) error
	// Disarm forgets all trials, taken ones too. It needs no room on a disk.
	Disarm() error
	// State reads what the loader remembers, from where the loader has it.
	State() (State, error)
}

// Level is how early in a boot something may go wrong and still end in the
// default by itself.
type Level string

// The levels, from the best.
const (
	LevelKernel    Level = "kernel"    // a kernel or initrd that is missing, hangs or panics
	LevelInitramfs Level = "initramfs" // all that follows the start of the initramfs
	LevelUserspace Level = "userspace" // services that do not come up
	LevelNone      Level = "none"
)

// Files opens a file of a boot environment by its path from the top level,
// see [InSubvolume].
type Files func(path string) (io.ReadCloser, error)
