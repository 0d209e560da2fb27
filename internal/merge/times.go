package merge

// time tells which time a path is to have, if it is another one than it has: of what
// is on both sides what it is, the one that a side has given it, and the later one
// if both have. What is carried over or put together gets its time with its content.
func (p *planner) time(c Change) {
	if p.trees.Time == nil || c.Rule.Action == Ignore || c.Refused || c.Live.Modified == c.Base.Modified && c.Base.Kind == c.Live.Kind {
		return
	}
	there := c.Next
	if c.Thing == FromLive && c.Next.Kind != Directory {
		there = Node{}
	}
	modified := c.Live.Modified
	switch {
	case c.Live.Kind == Directory && there.Kind == Missing && c.Thing == FromLive:
	case c.Live.Kind == Missing || c.Thing == FromMerged || !c.Live.sameThing(there):
		return
	case there.Modified != c.Base.Modified:
		modified = max(modified, there.Modified)
	}
	if modified != there.Modified {
		p.trees.Time(c.Path, modified)
	}
}
