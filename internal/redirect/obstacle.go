package redirect

import (
	"errors"
	"fmt"
)

// ErrReadOnly says that nothing can be written to the root file system.
var ErrReadOnly = errors.New("the root file system is read-only")

// Obstacle is a machine whose root can't be snapshotted as a whole: what would
// go to a boot environment changes the running system.
type Obstacle struct{ State StoreState }

func (o *Obstacle) Error() string {
	return fmt.Sprintf("cannot redirect upgrades: %s; they change the running system", o.why())
}

func (o *Obstacle) why() string {
	switch o.State {
	case NotBtrfs:
		return "the root file system is not btrfs"
	case TopLevel:
		return "the root file system is the top level of its btrfs, not a subvolume"
	case DpkgElsewhere:
		return "/var/lib/dpkg is not in the root subvolume"
	}
	return "the state of the root file system is not known"
}

// Hint is what to do about it.
func (o *Obstacle) Hint() string {
	const silent = `Apt-Be::Redirect "false"; in /etc/apt/apt.conf.d/99local ends this warning`
	switch o.State {
	case TopLevel:
		return "boot environments are for a system in a subvolume of its own, mounted by subvol=. " + silent
	case DpkgElsewhere:
		return "boot environments are for a system whose packages and their database are in one subvolume. " + silent
	}
	return silent
}
