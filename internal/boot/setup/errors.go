package setup

import "errors"

var (
	// ErrTopLevel reports that / is the top-level subvolume: its snapshot would have to
	// be inside itself.
	ErrTopLevel = errors.New("the root file system is the top level of its btrfs, not a subvolume")
	// ErrNoLoader reports that the machine has no known boot loader.
	ErrNoLoader = errors.New("neither GRUB nor systemd-boot is installed")
	// ErrLayout reports that a known boot loader reads its files from a place that
	// apt-be cannot manage.
	ErrLayout = errors.New("the boot loader's files are in an unsupported place")
	// ErrNoVariables reports that the EFI variables, which select systemd-boot's entry,
	// are not accessible.
	ErrNoVariables = errors.New("no EFI variables")
)

// Unprepared reports whether an error means that a machine, as it is, cannot be set up
// for boot environments.
func Unprepared(err error) bool {
	for _, reason := range []error{ErrTopLevel, ErrNoLoader, ErrLayout, ErrNoVariables} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
