package merge

// time tells which time a path is to have, if it is another one than it has: of what
// is on both sides what it is, the one that a side has given it, and the later one
// if both have. What is carried over or put together gets its time with its content.
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
