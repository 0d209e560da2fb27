package merge

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/parallel"
)

// Aside is what follows the name of what a merge has put beside something else.
const Aside = "." + kept

const kept = "apt-be-dist"

// Unit is what a Change has besides if its path stands for many that are one thing:
// the files of a database, or of a repository. They are decided on together.
type Unit struct {
	Description string   // it is, in words; "" if the path stands for itself
	Note        string   // what becomes of it, where that is more than a word
	Parts       []Change // what becomes of its paths, a directory before what is in it
	Tip         string   // the commit that the environment was at, if that is kept beside the running system's
	// What the new side has there is moved before the parts are carried over, and
	// some of it again afterwards. Kept is where all of it is then.
	Before, After []Move
	Kept          string
}

// Move is another name for what has one on the new side.
type Move struct{ From, To string }

// Ready is a part of a unit that is put together already.
func (c *Change) Ready() []byte { return c.ready }

// units puts changes together that are of one unit, and decides on it.
func (p *planner) units(changes []Change, same map[uint64]string, rules Rules, fileOf func(string) File) ([]Change, error) {
	if p.trees.Read == nil {
		return changes, nil
	}
	s := &shapes{p: p, dirs: map[string]*listing{}, units: map[string]*unit{}, ways: map[string]*unit{}}
	of := map[string]*unit{}
	var result []Change
	for i := range changes {
		if changes[i].Whole {
			result = append(result, changes[i])
			continue
		}
		u := s.of(&changes[i])
		switch {
		case u == nil:
			result = append(result, changes[i])
		case of[u.what+u.path] == nil:
			of[u.what+u.path] = u
			result = append(result, Change{Path: u.path, Unit: Unit{Description: u.what}})
			fallthrough
		default:
			u = of[u.what+u.path]
			u.changes = append(u.changes, changes[i])
		}
	}
	decided := make([]Change, 0, len(result))
	for _, c := range result {
		u := of[c.Description+c.Path]
		if c.Description == "" || u == nil {
			decided = append(decided, c)
			continue
		}
		c.Rule = u.rule(rules)
		c.File = fileOf(c.Path)
		done, err := p.decideUnit(u, &c)
		if err != nil && p.trees.SkipUnreadable != nil && p.trees.SkipUnreadable(c.Path, err) {
			decided = append(decided, u.changes...) // what somebody calls a repository
			continue
		}
		if err != nil {
			c.Unit, c.Decision = Unit{Description: u.what}, p.cannot(&c, err)
		}
		if done || err != nil {
			decided = append(decided, c)
		}
		if len(c.Before) > 0 { // what is moved is at no path that is known
			maps.DeleteFunc(same, func(_ uint64, name string) bool { return u.owns(name) })
		}
	}
	return decided, nil
}

// rule returns the rule for a unit: that for its path, or else an admin's for one of
// its files.
func (u *unit) rule(rules Rules) Rule {
	rule, _ := rules.For("/" + u.path)
	for _, file := range u.files {
		if own, ok := rules.For("/" + file); ok && own.Own && !rule.Own {
			return own
		}
	}
	return rule
}

// owns says whether a path is one of a unit.
func (u *unit) owns(name string) bool {
	switch {
	case !u.within:
		return slices.Contains(u.files, name)
	case u.only != nil:
		return strings.HasPrefix(name, u.path+"/") && u.only.MatchString(u.rest(name))
	}
	return name == u.path || strings.HasPrefix(name, u.path+"/") && !u.apart(name)
}

// members compares all paths of a unit. Those that certainly are what they were on both
// sides are not looked at, unless all is set: nothing is known of them then.
func (p *planner) members(u *unit, all bool) ([]Change, error) {
	names := map[string]bool{}
	for _, file := range u.files {
		names[file] = true
	}
	if u.within {
		for _, tree := range p.sides() {
			if err := p.gather(tree, u, u.path, names); err != nil {
				return nil, err
			}
		}
	}
	sorted := slices.SortedFunc(maps.Keys(names), comparePaths)
	members := make([]Change, len(sorted))
	return members, parallel.Each(len(sorted), func(i int) error {
		members[i].Path = sorted[i]
		if err := p.failed[sorted[i]]; err != nil {
			return err
		}
		if _, changed := p.found[sorted[i]]; !changed && !all {
			if untouched, err := p.untouched(sorted[i]); err != nil || untouched {
				return err
			}
		}
		if err := p.compare(&members[i]); err != nil {
			return fmt.Errorf("/%s: %w", sorted[i], err)
		}
		return nil
	})
}

// mostMembers is how many paths a unit may have: all of them are held in memory. Git
// packs what it has long before.
const mostMembers = 500_000

var errTooMany = errors.New("too much is in it")

func (p *planner) gather(tree Tree, u *unit, dir string, names map[string]bool) error {
	if longpath.Is(dir) { // it is none of the unit
		return nil
	}
	if len(names) > mostMembers {
		return errTooMany
	}
	node, err := tree.Node(dir)
	if err != nil || node.Kind == Missing {
		return err
	}
	if u.owns(dir) {
		names[dir] = true
	}
	if node.Kind != Directory {
		return nil
	}
	list, err := tree.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range list {
		if name = path.Join(dir, name); u.apart(name) {
			continue
		}
		if err := p.gather(tree, u, name, names); err != nil {
			return err
		}
	}
	return nil
}

// decideUnit says what becomes of a unit, and whether there is anything to tell.
func (p *planner) decideUnit(u *unit, c *Change) (bool, error) {
	members, err := p.members(u, u.git)
	if err == nil {
		err = p.nodes(c)
	}
	c.Attributes = c.Target.Attributes
	if err != nil {
		return false, err
	}
	var running, target, differ bool
	for _, m := range members {
		if u.idles(m.Path) {
			continue
		}
		running = running || !m.Running.Same(m.Base)
		target = target || !m.Target.Same(m.Base)
		differ = differ || !m.Running.Same(m.Target)
	}
	if !running || !differ {
		return false, nil
	}
	admins := c.Rule.Own && c.Rule.Action == Overwrite
	switch {
	case c.Rule.Action == Ignore:
	case !target || c.Rule.Action == Overwrite && (admins || c.File != Packaged):
		c.carry(members, false)
	case c.File == Packaged || c.File == Derived:
		c.Conflict = "both changed this " + u.what + ": the environment's stays"
	case u.git && repositories(c, members):
		if err := p.mergeGit(u, c, members); err != nil {
			return false, err
		}
	case c.Target.Kind == Missing && nowhere(p.trees.Target, members):
		c.carry(members, false)
		c.Conflict = "changed in the running system, deleted in the environment"
	case c.File == Data && !nowhere(p.trees.Running, slices.DeleteFunc(slices.Clone(members), func(m Change) bool { return u.idles(m.Path) })):
		if !p.users(c.Path) {
			c.Refused, c.Conflict = true, "both changed this "+u.what
			break
		}
		fallthrough
	default:
		if err := p.setAside(u, c); err != nil {
			return false, err
		}
	}
	if c.Source != FromTarget {
		way := Change{Path: c.Path, Running: Node{Kind: Regular}, Decision: Decision{Source: FromRunning}}
		if err := p.checkWay(&way); err != nil {
			return false, err
		}
		if way.Refused {
			c.Unit, c.Decision = Unit{Description: u.what}, Decision{Refused: !p.users(c.Path), Uncopyable: p.users(c.Path), Attributes: c.Target.Attributes, Conflict: way.Conflict}
		}
	}
	return true, nil
}

// nowhere says whether none of some paths is in a tree.
func nowhere(tree Tree, members []Change) bool {
	return !slices.ContainsFunc(members, func(m Change) bool {
		node, err := tree.Node(m.Path)
		return err != nil || node.Kind != Missing
	})
}

// repositories says whether there is a repository on both sides, with refs in files.
// Those in tables (git-refs(1)) are for git alone to read.
func repositories(c *Change, members []Change) bool {
	return c.Running.Kind == Directory && c.Target.Kind == Directory &&
		!slices.ContainsFunc(members, func(m Change) bool { return strings.HasSuffix(m.Path, "/reftable/tables.list") })
}

// nodes looks at a unit's own path, on all sides.
func (p *planner) nodes(c *Change) (err error) {
	for i, node := range []*Node{&c.Base, &c.Running, &c.Target} {
		if *node, err = p.sides()[i].Node(c.Path); err != nil {
			return err
		}
		if node.Kind == Regular {
			node.Content = fmt.Sprint(i) // that they differ is known
		}
	}
	return nil
}

// carry has a unit be what it is on the live side. If what the new side has is out
// of the way all of it is carried.
func (c *Change) carry(members []Change, all bool) {
	c.Decision = Decision{Source: FromRunning, Attributes: c.Running.Attributes}
	for _, m := range members {
		if all && m.Running.Kind == Missing || !all && m.Running.Same(m.Target) {
			continue
		}
		if all {
			m.Target = Node{}
		}
		m.Decision = Decision{Source: FromRunning, Attributes: m.Running.Attributes}
		c.Parts = append(c.Parts, m)
	}
}

// setAside has a unit be what it is on the live side, and keeps what the new side has,
// whole and by a name by which it can be opened.
func (p *planner) setAside(u *unit, c *Change) error {
	members, err := p.members(u, true)
	if err != nil {
		return err
	}
	c.carry(members, true)
	c.KeepTarget, c.Conflict = true, "both changed this "+u.what
	inside := u.inside && c.Running.Kind == Directory
	for number := 1; ; number++ {
		end := Aside
		if number > 1 {
			end += fmt.Sprintf(".%d", number)
		}
		moves := u.moves(members, end)
		free := true
		for _, m := range moves {
			last := m.To
			if inside {
				last = path.Join(u.path, strings.TrimPrefix(end, "."))
			}
			for _, tree := range []Tree{p.trees.Running, p.trees.Target} {
				for _, name := range []string{m.To, last} {
					node, err := tree.Node(name)
					if err != nil {
						c.Unit = Unit{Description: u.what}
						c.Decision = Decision{Refused: !p.users(c.Path), Uncopyable: p.users(c.Path), Attributes: c.Target.Attributes, Conflict: "it cannot be kept beside the running system's: " + err.Error()}
						return nil
					}
					free = free && node.Kind == Missing
				}
			}
		}
		if !free {
			continue
		}
		c.Before = moves
		at := path.Join(path.Dir(u.path), path.Base(u.path)+end)
		if inside {
			at = path.Join(u.path, strings.TrimPrefix(end, ".")) // as if it were checked out there
			c.After = []Move{{u.path + end, path.Join(at, path.Base(u.path))}}
		}
		c.Kept, c.Note = at, "the environment's is kept as /"+at
		return nil
	}
}

// moves are the new names of a unit's files. The journals of a database are found by
// its name.
func (u *unit) moves(members []Change, end string) []Move {
	if u.within && u.only == nil {
		return []Move{{u.path, u.path + end}}
	}
	var moves []Move
	for _, m := range members {
		if m.Target.Kind == Missing {
			continue
		}
		to := m.Path + end
		if rest, ok := strings.CutPrefix(m.Path, u.path); ok && slices.Contains(u.files, u.path) {
			to = u.path + end + rest
		}
		moves = append(moves, Move{m.Path, to})
	}
	return moves
}
