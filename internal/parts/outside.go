package parts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/pkgdb"
)

// ErrOutside reports that an upgrade would have to change files that are in no boot
// environment.
var ErrOutside = errors.New("the mount is not in the boot environment")

// AllowOutside is the setting that lists mount points on which packages' files may keep
// their old version. Files that the upgrade adds there are copied there when the
// machine leaves for the new environment.
const AllowOutside = "Apt-Be::Allow-Outside"

// OutsideHint is the remedy for ErrOutside.
const OutsideHint = "move these files to the root file system, or to a subvolume of it that /etc/fstab mounts there; " +
	"or list the mount in " + AllowOutside + " in apt.conf, so that its files keep the old version; or upgrade in place with -o Apt-Be::Redirect=no"

// Mount is a file system of the running system that boot environments do not copy.
type Mount struct {
	Place string `json:"place"`
	What  string `json:"what"` // the type and source, for messages
}

// CheckOutside returns an ErrOutside, with mounts and packages, if packages that are
// about to change have files on one of the mounts.
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
		return fmt.Errorf("cannot determine whether packages have files on other file systems: %w", err)
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

// innermost returns the place of the mount that contains a path.
func innermost(mounts []Mount, name string) (place string) {
	for _, m := range mounts {
		if within(m.Place, name) && len(m.Place) > len(place) {
			place = m.Place
		}
	}
	return place
}
