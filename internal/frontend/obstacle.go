package frontend

import "fmt"

// Obstacle reports that the running root cannot be snapshotted as a whole, so that
// upgrades change the running system.
type Obstacle struct{ State StoreState }

// Error implements error.
func (o *Obstacle) Error() string {
	return fmt.Sprintf("cannot redirect upgrades: %s. Upgrades change the running system", o.why())
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
	return "the state of the root file system is unknown"
}

// Hint returns a remedy.
func (o *Obstacle) Hint() string {
	const silent = `to disable this warning, write Apt-Be::Redirect "false"; to /etc/apt/apt.conf.d/99local`
	switch o.State {
	case TopLevel:
		return "boot environments need a root in a subvolume of its own, mounted with subvol=; " + silent
	case DpkgElsewhere:
		return "boot environments need the packages and their database in one subvolume; " + silent
	}
	return silent
}
