package merge

import "github.com/apt-be/apt-be/internal/longpath"

// cutAll shortens paths that are too long, and removes duplicates.
func cutAll(names []string) []string {
	for i, name := range names {
		if !longpath.Is(name) {
			continue
		}
		known := map[string]bool{}
		short := append([]string(nil), names[:i]...)
		for _, name := range names[i:] {
			if longpath.Is(name) {
				if name = longpath.Cut(name); known[name] {
					continue
				}
				known[name] = true
			}
			short = append(short, name)
		}
		return short
	}
	return names
}

// users reports whether a path of the running system belongs to a user, whose files
// must never lead to a refusal.
func (p *planner) users(name string) bool { return p.trees.IsUsers != nil && p.trees.IsUsers(name) }

// cannot decides about a path that cannot be compared. It is refused, unless an
// unprivileged user may be the cause; then it is skipped.
func (p *planner) cannot(c *Change, err error) Decision {
	leaves := p.trees.SkipUnreadable != nil && p.trees.SkipUnreadable(c.Path, err)
	return Decision{
		Refused: c.Rule.Action != Ignore && !leaves, Uncopyable: leaves, Attributes: c.Target.Attributes, Conflict: "it cannot be compared: " + err.Error(),
	}
}

// ofUser decides about a user's path that would be refused: the running system's
// version is carried, and the target's is kept beside it.
func ofUser(c Change) Decision {
	return Decision{
		Source: FromRunning, Attributes: c.Running.Attributes, KeepTarget: c.Target.Kind != Missing,
		Conflict: c.Conflict + "; it belongs to a user: the running system's version is carried, and the boot environment's is kept beside it",
	}
}

// settle decides about a path that was compared.
func (p *planner) settle(c *Change) error {
	c.Decision = Decide(c.Base, c.Running, c.Target, c.File, c.Rule.Action)
	// For a directory that is never looked into, no one could decide.
	if c.Refused && (c.Whole || p.users(c.Path)) {
		c.Decision = ofUser(*c)
	}
	if err := p.checkWay(c); err != nil {
		return err
	}
	if c.Refused && p.users(c.Path) { // the path cannot be created
		c.Refused, c.Uncopyable = false, true
	}
	return nil
}
