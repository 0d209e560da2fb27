package drift

import (
	"slices"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// try does what was decided on a path. If it can't be done, and somebody but root may
// be the reason, the path stays behind: no user is to decide that the machine stays.
func (d *Drift) try(c *rootfs.Changer, change Change) error {
	err := carry(c, change)
	if err == nil || rootfs.Broken(err) || !c.From.Others(change.Path) {
		return err
	}
	d.stays(change.Path, err)
	return nil
}

// stays notes that a path stays behind.
func (d *Drift) stays(path string, err error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.behind = append(d.behind, Change{Change: merge.Change{
		Path: path, Decision: merge.Decision{Unable: true, Why: "it cannot be carried over: " + err.Error()},
	}})
}

// tellBehind puts what stays behind among the changes.
func (d *Drift) tellBehind() {
	if len(d.behind) == 0 {
		return
	}
	known := map[string]int{}
	for i, c := range d.Changes {
		if c.What == "" && !c.Subvolume {
			known[c.Path] = i
		}
	}
	for _, b := range d.behind {
		i, ok := known[b.Path]
		if !ok {
			d.Changes = append(d.Changes, b)
			continue
		}
		c := &d.Changes[i]
		b.Attributes = c.Next.Attributes
		c.Decision, c.Content, c.Clashes = b.Decision, nil, nil
	}
	d.behind = nil
}

// Behind are the changes that can't be carried over.
func (d *Drift) Behind() []Change {
	return slices.DeleteFunc(slices.Clone(d.Changes), func(c Change) bool { return !c.Unable })
}
