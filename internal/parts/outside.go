package parts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/pkgdb"
)

// ErrOutside says that an upgrade would have to change files that no boot
// environment holds.
var ErrOutside = errors.New("it is not in the boot environment")

// AllowOutside is the setting that lists mount points on which files of packages may
// keep their old version. Files that the upgrade adds there are copied there as the
// machine leaves for the new environment.
const AllowOutside = "Apt-Be::Allow-Outside"

// OutsideHint is what to do about an ErrOutside.
const OutsideHint = "move these files into the root file system, or onto a btrfs subvolume of it that /etc/fstab mounts there; " +
	"-o Apt-Be::Redirect=no upgrades in place; " + AllowOutside + " in apt.conf names mounts of which the files may stay behind"

// Mount is a file system of the running system that a boot environment shares
// with it.
type Mount struct {
	Place string `json:"place"`
	What  string `json:"what"` // its type and source, for a message
}

// CheckOutside returns an ErrOutside, which names mounts and packages, if packages
// that are about to be changed in a root have files on one of the mounts.
func CheckOutside(root string, mounts []Mount, packages []string) error {
	if len(mounts) == 0 || len(packages) == 0 {
		return nil
	}
	places := make([]string, len(mounts))
	for i, m := range mounts {
		places[i] = m.Place
	}
	files, err := pkgdb.FilesBelow(root, places, packages)
	if err != nil {
		return fmt.Errorf("cannot find out whether packages have files on other file systems: %w", err)
	}
	for _, m := range mounts {
		var names []string
		for _, f := range files {
			if innermost(mounts, f.Path) == m.Place && !f.Directory(root) {
				names = append(names, f.Package)
			}
		}
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		names = slices.Compact(names)
		const shown = 5
		more := ""
		if n := len(names) - shown; n > 0 {
			names, more = names[:shown], fmt.Sprintf(" and %d more", n)
		}
		return fmt.Errorf("the files of %s%s in %s (%s) cannot be upgraded: %w", strings.Join(names, ", "), more, m.Place, m.What, ErrOutside)
	}
	return nil
}

// innermost is the place of the mount that holds a path.
func innermost(mounts []Mount, name string) (place string) {
	for _, m := range mounts {
		if within(m.Place, name) && len(m.Place) > len(place) {
			place = m.Place
		}
	}
	return place
}
