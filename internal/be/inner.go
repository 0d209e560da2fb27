package be

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
)

// Part is a separate subvolume that belongs to a root: the root's fstab mounts it, and
// packages have files in it. In a boot environment, a snapshot of it is nested at that
// place, and the environment's fstab mounts the snapshot.
type Part struct {
	Place     string `json:"place"`           // the mount point, such as "/opt"
	Named     string `json:"named,omitempty"` // the mount point as the fstab names it, if that path contains a link
	Subvolume string `json:"subvolume"`       // the origin's subvolume, from the top level
}

// PlacesOf returns the places of parts.
func PlacesOf(parts []Part) []string {
	places := make([]string, len(parts))
	for i, part := range parts {
		places[i] = part.Place
	}
	return places
}

// SubvolumeBelow is a subvolume that is visible below a root: nested in it, or a part
// of it.
type SubvolumeBelow struct {
	Place     string // the path from the root, with a leading slash
	Part      bool   // a part, which is not nested
	Subvolume store.Subvolume
}

// SubvolumesBelow returns the subvolumes that are visible below a root, each before its
// own nested subvolumes. Subvolumes hidden below a part's mount point are not visible.
func SubvolumesBelow(st store.Store, root string, parts []Part) ([]SubvolumeBelow, error) {
	var found []SubvolumeBelow
	add := func(holder, at string) error {
		nested, err := st.Nested(holder)
		if err != nil {
			return fmt.Errorf("cannot find the subvolumes nested in %s: %w", holder, err)
		}
		for _, sub := range nested {
			found = append(found, SubvolumeBelow{Place: at + strings.TrimPrefix(sub.Path, holder), Subvolume: sub})
		}
		return nil
	}
	if err := add(root, ""); err != nil {
		return nil, err
	}
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Part) int { return store.ComparePaths(a.Place, b.Place) })
	for _, part := range parts {
		if part.Subvolume == root+part.Place {
			continue // it is nested there, as in each environment
		}
		sub, err := st.Get(part.Subvolume)
		if err != nil {
			return nil, fmt.Errorf("cannot find the subvolume that is mounted at %s: %w", part.Place, err)
		}
		found = slices.DeleteFunc(found, func(in SubvolumeBelow) bool {
			return in.Place == part.Place || strings.HasPrefix(in.Place, part.Place+"/")
		})
		found = append(found, SubvolumeBelow{Place: part.Place, Part: true, Subvolume: sub})
		if err := add(part.Subvolume, part.Place); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(found, func(a, b SubvolumeBelow) int { return store.ComparePaths(a.Place, b.Place) })
	return found, nil
}

// splitCopied separates the subvolumes that a new environment does not copy: read-only
// snapshots of other tools, subvolumes to leave out, with everything below them, and
// subvolumes so deep that their path is too long to open; these are represented by a
// directory above them.
func splitCopied(all []SubvolumeBelow, leaveOut func(place string) bool) (kept []SubvolumeBelow, leftOut []string) {
	for _, in := range all {
		if IsTooDeep(in.Place) {
			if at := "/" + longpath.Cut(in.Place[1:]); !slices.Contains(leftOut, at) {
				leftOut = append(leftOut, at)
			}
			continue
		}
		if in.Subvolume.ReadOnly && !in.Part || leaveOut(in.Place) || within(leftOut, in.Place) {
			leftOut = append(leftOut, in.Place)
		} else {
			kept = append(kept, in)
		}
	}
	return kept, leftOut
}

// IsTooDeep reports whether a subvolume is left out of environments because its path is
// too long to open. Every user can create such subvolumes.
func IsTooDeep(place string) bool { return longpath.Is(place[1:]) }

// copyToBase makes a snapshot of a subvolume at its place in a build's base. The
// snapshot is writable until seal. there is false if the subvolume was moved meanwhile.
func (b *Build) copyToBase(in SubvolumeBelow) (there bool, err error) {
	st, place := b.registry.store, b.Base+in.Place
	if in.Part {
		durable.Unlock(st.Path(place))
	}
	// This needs no step of its own: undoing the outer snapshot deletes nested
	// subvolumes, too.
	err = st.SnapshotOver(in.Subvolume.Path, place, false)
	if in.Part && errors.Is(err, store.ErrExists) {
		// Hidden files are below the mount point.
		if err = durable.RemoveAll(st.Path(place)); err == nil {
			err = os.Mkdir(st.Path(place), 0o755)
		}
		if err == nil {
			err = st.SnapshotOver(in.Subvolume.Path, place, false)
		}
	}
	if moved(err) && !in.Part {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot copy the subvolume %s: %w", in.Place, err)
	}
	return true, nil
}

// seal makes the base of a build and the subvolumes copied to it read-only.
func (b *Build) seal(copied []SubvolumeBelow) error {
	for _, in := range copied {
		if err := b.registry.store.SetReadOnly(b.Base+in.Place, true); err != nil {
			return err
		}
	}
	return b.registry.store.SetReadOnly(b.Base, true)
}

// Hidden is the suffix for the files that were below a part's mount point. They are
// beside the part in an environment.
const Hidden = ".below-mount"

// onlySwap reports whether a subvolume contains only swap files.
func (b *Build) onlySwap(in SubvolumeBelow) (bool, error) {
	names, only, err := swapfile.In(b.registry.store.Path(in.Subvolume.Path))
	return only && len(names) > 0, err
}

// empty makes an empty subvolume in the build instead of a subvolume with swap files.
// The kernel makes no snapshot of an active swap file, and a snapshot of an inactive
// one can make both copies useless.
func (b *Build) empty(in SubvolumeBelow) error {
	if err := b.registry.store.EmptyOver(in.Subvolume.Path, b.Path+in.Place); err != nil {
		return fmt.Errorf("cannot make the subvolume %s: %w", in.Place, err)
	}
	b.emptied = append(b.emptied, in.Place)
	return nil
}

// copyInner makes a writable snapshot of source in the build, at the place of a
// subvolume.
func (b *Build) copyInner(in SubvolumeBelow, source string) error {
	st, place := b.registry.store, b.Path+in.Place
	if in.Part {
		durable.Unlock(st.Path(place))
	}
	err := st.SnapshotOver(source, place, false)
	if errors.Is(err, store.ErrSwapFile) {
		return b.empty(in)
	}
	if in.Part && errors.Is(err, store.ErrExists) {
		// The owner of the directory may have created a file of that name.
		if err = durable.RenameFree(st.Path(place), st.Path(place)+Hidden); err == nil {
			b.HiddenParts = append(b.HiddenParts, in.Place)
			err = os.Mkdir(st.Path(place), 0o755)
		}
		if err == nil {
			err = st.SnapshotOver(source, place, false)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot copy the subvolume %s: %w", in.Place, err)
	}
	return nil
}

// moved reports whether a nested subvolume could not be copied because it is not, or
// was not at the time of the snapshot, at the place where it was found. The owner of
// the directory above can rename it at any time, and replace it by a link.
func moved(err error) bool {
	for _, is := range []error{store.ErrNotFound, store.ErrNotSubvolume, store.ErrExists, store.ErrBadPath} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func within(dirs []string, file string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(file, dir+"/") })
}
