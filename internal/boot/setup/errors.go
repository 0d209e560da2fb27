package setup

import "errors"

var (
	// ErrTopLevel says that / is the top-level subvolume: a snapshot of it
	// would have to lie in itself.
	ErrTopLevel = errors.New("the root file system is the top level of its btrfs, not a subvolume")
	// ErrNoLoader says that the machine has no boot loader that is known here.
	ErrNoLoader = errors.New("there is neither GRUB nor systemd-boot")
	// ErrLayout says that the boot loader is a known one, but reads its files
	// from a place that can't be managed.
	ErrLayout = errors.New("the boot loader's files are in a place that is not supported")
	// ErrNoVariables says that the EFI variables, through which systemd-boot
	// is told what to boot, can't be reached.
	ErrNoVariables = errors.New("there are no EFI variables")
)

// Unprepared says whether an error means that a machine can't be prepared for
// boot environments as it is.
func Unprepared(err error) bool {
	for _, reason := range []error{ErrTopLevel, ErrNoLoader, ErrLayout, ErrNoVariables} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
