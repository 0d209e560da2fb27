package drift

import (
	"slices"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// try carries a change. If that fails, and an unprivileged user may be the cause, the
// change is skipped: no user may prevent the next boot.
func (d *Drift) try(c *rootfs.Changer, change Change) error {
	err := apply(c, change)
	if err == nil || rootfs.IsDeviceError(err) || !c.From.MayBeUsers(change.Path) {
		return err
	}
	d.stays(change.Path, err)
	return nil
}

// stays records a path as skipped.
func (d *Drift) stays(path string, err error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.skipped = append(d.skipped, Change{Change: merge.Change{
		Path: path, Decision: merge.Decision{Uncopyable: true, Conflict: "it cannot be carried: " + err.Error()},
	}})
}

// noteSkipped moves the skipped paths into the list of changes.
func (d *Drift) noteSkipped() {
	if len(d.skipped) == 0 {
		return
	}
	known := map[string]int{}
	for i, c := range d.Changes {
		if c.Description == "" && !c.Subvolume {
			known[c.Path] = i
		}
	}
	for _, b := range d.skipped {
		i, ok := known[b.Path]
		if !ok {
			d.Changes = append(d.Changes, b)
			continue
		}
		c := &d.Changes[i]
		b.Attributes = c.Target.Attributes
		c.Decision, c.Content, c.Conflicts = b.Decision, nil, nil
	}
	d.skipped = nil
}

// Skipped returns the changes that could not be carried.
func (d *Drift) Skipped() []Change {
	return slices.DeleteFunc(slices.Clone(d.Changes), func(c Change) bool { return !c.Uncopyable })
}
