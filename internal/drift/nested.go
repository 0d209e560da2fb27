package drift

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
)

// Open opens the root file system in a subvolume with the subvolumes that are visible
// below it, except read-only snapshots of other tools. In a base, which is read-only
// itself, there are none.
func Open(st store.Store, subvolume string, parts []be.Part) (*rootfs.Root, error) {
	found, err := be.SubvolumesBelow(st, subvolume, parts)
	if err != nil {
		return nil, err
	}
	top, err := st.Get(subvolume)
	if err != nil {
		return nil, err
	}
	root, err := rootfs.Open(st.Path(subvolume))
	if err != nil {
		return nil, err
	}
	for i, each := range found {
		if each.Subvolume.ReadOnly && !each.Part && !top.ReadOnly || be.IsTooDeep(each.Place) {
			continue
		}
		if err := root.Attach(strings.TrimPrefix(each.Place, "/"), st.Path(each.Subvolume.Path), uint16(i+1)); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return root, nil
}

// nestedFinder compares the subvolumes that are visible below the sides. A subvolume
// that the target has not modified, or that is new, is carried as a whole. The files of
// all others are compared like the root's; it does not matter which sides have a
// subvolume, a directory or nothing.
type nestedFinder struct {
	store  store.Store
	sides  Sides
	base   store.Subvolume
	finder *finder
	drift  *Drift

	snapshot bool // the running side is a snapshot that contains snapshots of its subvolumes

	live  map[string]bool // places of the running side's subvolumes that are merged
	whole []Change        // changes of whole subvolumes
	apart []string        // places whose files are not compared
}

// three is a place, without leading slash, with the subvolumes of each side there.
type three struct {
	place            string
	base, live, next *store.Subvolume
}

// covers reports whether a path is in a subvolume whose files are not compared.
func (in *nestedFinder) covers(name string) bool {
	return slices.ContainsFunc(in.apart, func(place string) bool {
		return name == place || strings.HasPrefix(name, place+"/") && !in.compared(place, name)
	})
}

// compared reports whether a path below a place is in a nested subvolume whose files
// are compared.
func (in *nestedFinder) compared(place, name string) bool {
	for _, tree := range in.finder.attached {
		if strings.HasPrefix(tree, place+"/") && (name == tree || strings.HasPrefix(name, tree+"/")) {
			return true
		}
	}
	return false
}

// compare decides about each place, and returns the paths that may have changed in
// subvolumes whose files must be compared.
func (in *nestedFinder) compare() (changed []string, err error) {
	running, err := in.store.Get(in.sides.Running)
	if err != nil {
		return nil, err
	}
	in.snapshot = running.ReadOnly
	places, err := in.places()
	if err != nil {
		return nil, err
	}
	in.live = map[string]bool{}
	for i, at := range places {
		in.live[at.place] = at.live != nil
		more, err := in.decide(at, uint16(i+1), places)
		if err != nil {
			return nil, err
		}
		changed = append(changed, more...)
	}
	return changed, nil
}

// places returns all places at which a side has a subvolume, outer ones first.
func (in *nestedFinder) places() ([]three, error) {
	byPlace := map[string]*three{}
	for _, side := range []struct {
		root  string
		parts []be.Part
		set   func(t *three, sub *store.Subvolume)
	}{
		{in.sides.Base, nil, func(t *three, sub *store.Subvolume) { t.base = sub }},
		{in.sides.Running, in.sides.Parts, func(t *three, sub *store.Subvolume) { t.live = sub }},
		{in.sides.Target, nil, func(t *three, sub *store.Subvolume) { t.next = sub }},
	} {
		found, err := be.SubvolumesBelow(in.store, side.root, side.parts)
		if err != nil {
			return nil, err
		}
		for _, each := range found {
			place := strings.TrimPrefix(each.Place, "/")
			if byPlace[place] == nil {
				byPlace[place] = &three{place: place}
			}
			side.set(byPlace[place], &each.Subvolume)
		}
	}
	all := make([]three, 0, len(byPlace))
	for _, t := range byPlace {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b three) int { return store.ComparePaths(a.place, b.place) })
	return all, nil
}

// decide decides about a place. mark is its number.
func (in *nestedFinder) decide(at three, mark uint16, all []three) (changed []string, err error) {
	if in.leftOut(at) {
		return nil, in.tellLeftOut(at)
	}
	switch {
	case at.live != nil && at.base != nil:
		if changed, err = in.store.Changed(at.live.Path, in.since(at)); err != nil {
			return nil, err
		}
		if len(changed) == 0 {
			in.apart = append(in.apart, at.place)
			return nil, nil
		}
		if at.next != nil {
			if untouched, err := in.untouched(at); err != nil {
				return nil, err
			} else if untouched {
				in.carryWhole(at)
				return nil, nil
			}
		}
	case at.live != nil:
		if changed, err = in.store.Changed(at.live.Path, 0); err != nil {
			return nil, err
		}
		fresh, err := in.fresh(at, all)
		if err != nil {
			return nil, err
		}
		if fresh {
			in.carryWhole(at)
			in.drift.NewSubvolumes = append(in.drift.NewSubvolumes, at.place)
			outer := func(place string) bool { return strings.HasPrefix(at.place, place+"/") }
			if !slices.ContainsFunc(in.drift.places, outer) { // a snapshot of the outer subvolume contains the place
				in.drift.places = append(in.drift.places, at.place)
			}
			return nil, nil
		}
	}
	if at.next != nil {
		since := in.sides.ForkGeneration
		if at.base != nil && at.next.ParentUUID == at.base.UUID {
			since = at.next.OTransID
		}
		touched, err := in.store.Changed(at.next.Path, since)
		if err != nil {
			return nil, err
		}
		in.drift.targetChanged = append(in.drift.targetChanged, below(at.place, touched)...)
	}
	return below(at.place, changed), in.finder.attach(in.store, at, mark)
}

// leftOut reports whether the target intentionally has no copy of a subvolume.
func (in *nestedFinder) leftOut(at three) bool {
	if be.IsTooDeep("/" + at.place) {
		return true
	}
	if at.live != nil && at.live.ReadOnly && at.base == nil && !in.snapshot {
		return true // a snapshot of another tool
	}
	if at.live != nil && at.base == nil && at.next == nil && !in.snapshot {
		names, only, err := swapfile.In(in.store.Path(at.live.Path))
		if err == nil && only && len(names) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(in.sides.LeftOut, func(place string) bool {
		place = strings.TrimPrefix(place, "/")
		return at.place == place || strings.HasPrefix(at.place, place+"/")
	})
}

// tellLeftOut adds a skipped change for a subvolume of which the target has no copy. A
// base contains no files of it.
func (in *nestedFinder) tellLeftOut(at three) error {
	in.apart = append(in.apart, at.place)
	if at.live == nil || at.live.ReadOnly {
		return nil
	}
	changed, err := in.store.Changed(at.live.Path, in.base.OTransID)
	if err == nil && len(changed) > 0 {
		in.whole = append(in.whole, Change{Subvolume: true, Change: merge.Change{
			Path: longpath.Cut(at.place), Decision: merge.Decision{Conflict: "this subvolume was not copied to the boot environment"},
		}})
	}
	return err
}

// since returns the generation after which changes of the running side's subvolume
// count. If the base has a snapshot of another subvolume, because this one was made
// again or replaced by an older snapshot, all its files count.
func (in *nestedFinder) since(at three) uint64 {
	same := at.base.ParentUUID == at.live.UUID ||
		at.base.ParentUUID == at.live.ParentUUID && at.live.OTransID >= at.base.OTransID
	if same {
		return at.base.OTransID
	}
	return 0
}

// untouched reports whether the target's subvolume is unchanged since it was
// snapshotted: from the base, or, in a copy during a sync, from the running side.
func (in *nestedFinder) untouched(at three) (bool, error) {
	untouched, err := store.IsUnmodified(in.store, *at.next, *at.base)
	if err != nil || untouched {
		return untouched, err
	}
	return store.IsUnmodified(in.store, *at.next, *at.live)
}

// fresh reports whether a subvolume that the base does not have can be carried as a
// whole: the target has nothing at its place, or the base's unchanged directory.
func (in *nestedFinder) fresh(at three, all []three) (bool, error) {
	inside := func(name string) bool { return name == at.place || strings.HasPrefix(name, at.place+"/") }
	if slices.ContainsFunc(all, func(t three) bool { return t.next != nil && inside(t.place) }) {
		return false, nil
	}
	node, err := in.finder.target.Node(at.place)
	if in.mayBeAUsers(at.place, err) {
		return false, nil
	}
	if err != nil || node.Kind == merge.Missing {
		return err == nil, err
	}
	was, err := in.finder.base.Node(at.place)
	if in.mayBeAUsers(at.place, err) {
		return false, nil
	}
	unchanged := node.Kind == merge.Directory && was.Kind == merge.Directory && !slices.ContainsFunc(in.drift.targetChanged, inside)
	return unchanged && in.base.OTransID <= in.sides.ForkGeneration, err
}

// mayBeAUsers reports whether a user may be the cause of an error in describing a
// place.
func (in *nestedFinder) mayBeAUsers(place string, err error) bool {
	return err != nil && !rootfs.IsDeviceError(err) && in.finder.running.MayBeUsers(place)
}

func (in *nestedFinder) carryWhole(at three) {
	in.apart = append(in.apart, at.place)
	in.whole = append(in.whole, Change{Subvolume: true, Change: merge.Change{
		Path: at.place, Decision: merge.Decision{Source: merge.FromRunning},
	}})
}

// below returns the paths of a subvolume's files in the tree that contains it.
func below(place string, names []string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = path.Join(place, name)
	}
	return paths
}

// attach makes the sides show the subvolumes at a place.
func (f *finder) attach(st store.Store, at three, mark uint16) error {
	f.attached = append(f.attached, at.place)
	for _, side := range []struct {
		root *rootfs.Root
		sub  *store.Subvolume
	}{{f.base, at.base}, {f.running, at.live}, {f.target, at.next}} {
		if side.sub == nil {
			continue
		}
		if err := side.root.Attach(at.place, st.Path(side.sub.Path), mark); err != nil {
			return err
		}
	}
	return nil
}

// makePlaces makes empty directories in the target at the places of new subvolumes.
func (d *Drift) makePlaces(c *rootfs.Changer) error {
	for _, place := range d.places {
		err := makePlace(c, place)
		if err == nil {
			continue
		}
		if rootfs.IsDeviceError(err) || !c.From.MayBeUsers(place) {
			return err
		}
		d.NewSubvolumes = slices.DeleteFunc(d.NewSubvolumes, func(fresh string) bool { return within(fresh, place) })
		d.stays(place, err)
	}
	return nil
}

func makePlace(c *rootfs.Changer, place string) error {
	node, err := c.To.Node(place)
	if err != nil {
		return err
	}
	if node.Kind == merge.Directory { // unchanged since the base; its content is in the subvolume
		if err := c.To.Clear(place); err != nil {
			return err
		}
	}
	directory := merge.Node{Kind: merge.Directory, Attributes: merge.Attributes{Mode: 0o755, Owner: "root", Group: "root"}}
	return c.Copy(place, directory, directory.Attributes)
}
