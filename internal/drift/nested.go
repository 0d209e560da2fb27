package drift

import (
	"errors"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
)

// addNested tells of subvolumes nested in the running system that were changed or
// made since. They are carried over whole: a package that changed files of one is
// unheard of, so what both changed stays as the environment has it.
func (d *Drift) addNested(st store.Store, sides Sides, base store.Subvolume) error {
	nested, err := st.Nested(sides.Running)
	if err != nil {
		return err
	}
	for i, sub := range nested {
		path := strings.TrimPrefix(sub.Path, sides.Running+"/")
		// As a part of the running system's own subvolume it is an empty directory.
		d.Changes = slices.DeleteFunc(d.Changes, func(c Change) bool {
			return !c.Subvolume && (c.Path == path || strings.HasPrefix(c.Path, path+"/"))
		})
		changed, err := st.Changed(sub.Path, base.Made)
		if err != nil {
			return err
		}
		if len(changed) == 0 || sub.ReadOnly {
			continue
		}
		change := Change{Change: merge.Change{Path: path}, Subvolume: true}
		fresh := false
		if change.Decision, fresh, err = decideNested(st, sub, sides.Next+"/"+path, base); err != nil {
			return err
		}
		if fresh {
			d.Nested = append(d.Nested, path)
			inAnother := func(other store.Subvolume) bool { return strings.HasPrefix(sub.Path, other.Path+"/") }
			if !slices.ContainsFunc(nested[:i], inAnother) { // a snapshot of that has the place
				d.places = append(d.places, path)
			}
		}
		d.Changes = append(d.Changes, change)
	}
	return nil
}

// decideNested says what becomes of a subvolume of the running system, whose
// counterpart in the environment is at a path if there is one, and whether it is
// fresh: made since, without a counterpart.
func decideNested(st store.Store, sub store.Subvolume, counterpart string, base store.Subvolume) (d merge.Decision, fresh bool, err error) {
	carried := merge.Decision{Thing: merge.FromLive}
	next, err := st.Get(counterpart)
	switch {
	case errors.Is(err, store.ErrNotFound) && sub.Made > base.Made:
		return carried, true, nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNotSubvolume):
		return merge.Decision{Why: "the environment was made without this subvolume"}, false, nil
	case err != nil:
		return merge.Decision{}, false, err
	}
	untouched, err := store.Untouched(st, next, sub)
	if err != nil || untouched {
		return carried, false, err
	}
	return merge.Decision{Why: "the environment has a subvolume of its own here: what changed in this one stays behind"}, false, nil
}

// makePlaces makes the directories in the environment that fresh subvolumes
// take the places of.
func (d *Drift) makePlaces(c *rootfs.Changer) error {
	for _, path := range d.places {
		directory := merge.Node{Kind: merge.Directory, Attributes: merge.Attributes{Mode: 0o755, Owner: "root", Group: "root"}}
		if err := c.Carry(path, directory, directory.Attributes); err != nil {
			return err
		}
	}
	return nil
}
