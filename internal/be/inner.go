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

// Part is a subvolume of its own that belongs to a root although it lies
// elsewhere: the fstab of the root mounts it, and packages have files in it. In a
// boot environment a snapshot of it is nested at that place, and the fstab there
// mounts that one.
type Part struct {
	Place     string `json:"place"`           // where it is mounted, such as "/opt"
	Named     string `json:"named,omitempty"` // the place by its name in the fstab, if that leads through a link
	Subvolume string `json:"subvolume"`       // of the origin, from the top level
}

// PlacesOf are the places of parts.
func PlacesOf(parts []Part) []string {
	places := make([]string, len(parts))
	for i, part := range parts {
		places[i] = part.Place
	}
	return places
}

// SubvolumeBelow is a subvolume that is seen below a root: nested in it, or a part of it.
type SubvolumeBelow struct {
	Place     string // its path from the root, with a leading slash
	Part      bool   // it lies elsewhere
	Subvolume store.Subvolume
}

// SubvolumesBelow returns the subvolumes that are seen below a root, each before those
// that it holds. What a part is mounted over is not seen.
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
			continue // nested there, as in each environment
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

// sift separates what a new environment gets no copy of: other tools' read-only
// snapshots, what is to be left out, with all below either, and what is so deep that
// nobody can open it by its path: for that stands a directory that it is in.
func sift(all []SubvolumeBelow, leaveOut func(place string) bool) (kept []SubvolumeBelow, leftOut []string) {
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

// IsTooDeep says whether what has a place is left out of environments since it is so deep
// that nobody can open it by its path: every user can make such subvolumes.
func IsTooDeep(place string) bool { return longpath.Is(place[1:]) }

// copyToBase gives the base of a build a snapshot of a subvolume at its place, which
// is writable until seal. there is false if it was moved meanwhile.
func (b *Build) copyToBase(in SubvolumeBelow) (there bool, err error) {
	st, place := b.registry.store, b.Base+in.Place
	if in.Part {
		durable.Unlock(st.Path(place))
	}
	// Undoing the outer snapshot deletes what is nested in it: no step of its own.
	err = st.SnapshotOver(in.Subvolume.Path, place, false)
	if in.Part && errors.Is(err, store.ErrExists) {
		// Below the mount something lies that nobody sees.
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

// seal makes the base of a build read-only, with what was copied to it.
func (b *Build) seal(copied []SubvolumeBelow) error {
	for _, in := range copied {
		if err := b.registry.store.SetReadOnly(b.Base+in.Place, true); err != nil {
			return err
		}
	}
	return b.registry.store.SetReadOnly(b.Base, true)
}

// Hidden ends the name of what lay below the mount of a part, and lies beside that
// in an environment.
const Hidden = ".below-mount"

// onlySwap says whether nothing but swap files is in a subvolume.
func (b *Build) onlySwap(in SubvolumeBelow) (bool, error) {
	names, only, err := swapfile.In(b.registry.store.Path(in.Subvolume.Path))
	return only && len(names) > 0, err
}

// empty gives the environment that is built an empty subvolume like the one that is
// swapped to: there can't be a snapshot of a file that is, and none of one that is
// not at the moment may be.
func (b *Build) empty(in SubvolumeBelow) error {
	if err := b.registry.store.EmptyOver(in.Subvolume.Path, b.Path+in.Place); err != nil {
		return fmt.Errorf("cannot make the subvolume %s: %w", in.Place, err)
	}
	b.emptied = append(b.emptied, in.Place)
	return nil
}

// copyInner gives the environment that is built a writable snapshot of source at
// the place of a subvolume.
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
		// Whoever owns the directory can have something by that name.
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

// moved says whether a nested subvolume could not be copied because it is not,
// or was not when the origin was snapshotted, where it was found to be: whoever
// owns the directory above can rename it at any time, and put a link there.
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
