package merge

import "path"

// settleReplaced decides again about directories that the running system deleted or
// replaced, for example by a link to their new place, if the target has files in them
// that stay. A directory precedes its content in changes.
func (p *planner) settleReplaced(changes []Change) error {
	occupied := map[string]bool{}
	for i := len(changes) - 1; i >= 0; i-- {
		c := &changes[i]
		if c.Source == FromRunning && c.Base.Kind == Directory && c.Running.Kind != Directory && c.Target.Kind == Directory {
			added, err := p.added(c.Path)
			if err != nil {
				return err
			}
			if added || occupied[c.Path] {
				c.Decision = ofOccupied(*c)
				if c.Refused && p.users(c.Path) {
					c.Decision = ofUser(*c)
				}
			}
		}
		if c.leaves() {
			occupied[path.Dir(c.Path)] = true
		}
	}
	return nil
}

// ofOccupied decides about a directory that the running system no longer has, and in
// which files of the target stay.
func ofOccupied(c Change) Decision {
	stays := Decision{Attributes: c.Target.Attributes}
	switch {
	case c.Running.Kind == Missing:
		stays.Conflict = "deleted in the running system, but the upgrade added files to it"
		return stays
	case c.File != Packaged && (c.Rule.Action == Overwrite || c.File == Setting || c.File == Conffile):
		d := c.Decision
		d.KeepTarget, d.Conflict = true, "it is "+c.Running.Kind.String()+" in the running system, and the upgrade changed its content"
		return d
	}
	stays.Refused = true
	stays.Conflict = "it is " + c.Running.Kind.String() + " in the running system, and the upgrade changed the content of the directory. If you repeat the upgrade, the new boot environment has both"
	return stays
}

// leaves reports whether a path, or a file beside it, exists afterwards.
func (c Change) leaves() bool {
	switch {
	case c.KeepTarget || c.KeepRunning || c.Source == FromMerged:
		return true
	case c.Source == FromRunning:
		return c.Running.Kind != Missing
	}
	return c.Target.Kind != Missing
}

// added reports whether the target has a new file in a directory of the base.
func (p *planner) added(name string) (bool, error) {
	before, err := p.trees.Base.Names(name)
	if err != nil {
		return false, err
	}
	now, err := p.trees.Target.Names(name)
	return len(without(now, before)) > 0, err
}
