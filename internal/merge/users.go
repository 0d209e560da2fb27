package merge

import "github.com/apt-be/apt-be/internal/longpath"

// cutAll returns what stands for paths, each once.
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

// users says whether what is at a path on the live side is in the hands of a user, who
// must not be able to have anything refused.
func (p *planner) users(name string) bool { return p.trees.IsUsers != nil && p.trees.IsUsers(name) }

// cannot decides on what can't be compared. Not to know is no reason to leave
// something behind, unless somebody may have made it so who is not to decide whether
// the machine goes to the new side.
func (p *planner) cannot(c *Change, err error) Decision {
	leaves := p.trees.SkipUnreadable != nil && p.trees.SkipUnreadable(c.Path, err)
	return Decision{
		Refused: c.Rule.Action != Ignore && !leaves, Uncopyable: leaves, Attributes: c.Target.Attributes, Conflict: "it cannot be compared: " + err.Error(),
	}
}

// ofUser decides on a user's path of which the admin would be asked: the live side's is
// there, and the new side's is kept beside it.
func ofUser(c Change) Decision {
	return Decision{
		Source: FromRunning, Attributes: c.Running.Attributes, KeepTarget: c.Target.Kind != Missing,
		Conflict: c.Conflict + "; it is a user's: the running system's is there, and the environment's beside it",
	}
}

// settle decides on a path that was compared.
func (p *planner) settle(c *Change) error {
	c.Decision = Decide(c.Base, c.Running, c.Target, c.File, c.Rule.Action)
	// Of what is never looked into there is nobody who could tell what to do.
	if c.Refused && (c.Whole || p.users(c.Path)) {
		c.Decision = ofUser(*c)
	}
	if err := p.checkWay(c); err != nil {
		return err
	}
	if c.Refused && p.users(c.Path) { // it can be nowhere
		c.Refused, c.Uncopyable = false, true
	}
	return nil
}
