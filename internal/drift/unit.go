package drift

import "github.com/apt-be/apt-be/internal/merge"

// parts returns the changes of a unit's paths.
func (c Change) parts() []Change {
	parts := make([]Change, len(c.Parts))
	for i, part := range c.Parts {
		parts[i] = Change{Change: part, Content: part.Ready()}
	}
	return parts
}

// renames returns the renames to do before the parts of units are carried, and
// afterwards.
func (d *Drift) renames() (before, after []merge.Move) {
	for _, c := range d.Changes {
		before, after = append(before, c.Before...), append(after, c.After...)
	}
	return before, after
}
