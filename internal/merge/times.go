package merge

// time determines the modification time of a path, if it must change: a time that one
// side changed, or the later one if both did. Carried and merged files get their time
// with their content.
func (p *planner) time(c Change) {
	if p.trees.Time == nil || c.Rule.Action == Ignore || c.Refused || c.Running.Modified == c.Base.Modified && c.Base.Kind == c.Running.Kind {
		return
	}
	there := c.Target
	if c.Source == FromRunning && c.Target.Kind != Directory {
		there = Node{}
	}
	modified := c.Running.Modified
	switch {
	case c.Running.Kind == Directory && there.Kind == Missing && c.Source == FromRunning:
	case c.Running.Kind == Missing || c.Source == FromMerged || !c.Running.sameThing(there):
		return
	case there.Modified != c.Base.Modified:
		modified = max(modified, there.Modified)
	}
	if modified != there.Modified {
		p.trees.Time(c.Path, modified)
	}
}
