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

// Aside is the suffix of files that a merge has set aside.
const Aside = "." + kept

const kept = "apt-be-dist"

// Unit extends a Change whose path represents many related files: a database, or a
// repository. They get one decision.
type Unit struct {
	Description string   // the description; "" if the path is independent
	Note        string   // the result, if it needs more than a word
	Parts       []Change // the decisions for its paths, a directory before its content
	Tip         string   // the target's commit, if it is kept beside the running system's
	// The target's files are moved before the parts are carried, and some of them again
	// afterwards. Kept is the final place of all of them.
	Before, After []Move
	Kept          string
}

// Move is a rename of a path of the target.
type Move struct{ From, To string }

// Ready returns the content of a part of a unit that is already merged.
func (c *Change) Ready() []byte { return c.ready }

// units groups the changes of each unit, and decides about it.
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
			decided = append(decided, u.changes...) // the directory only looks like a repository
			continue
		}
		if err != nil {
			c.Unit, c.Decision = Unit{Description: u.what}, p.cannot(&c, err)
		}
		if done || err != nil {
			decided = append(decided, c)
		}
		if len(c.Before) > 0 { // moved files are at no known path
			maps.DeleteFunc(same, func(_ uint64, name string) bool { return u.owns(name) })
		}
	}
	return decided, nil
}

// rule returns the rule for a unit: the rule for its path, otherwise an administrator's
// rule for one of its files.
func (u *unit) rule(rules Rules) Rule {
	rule, _ := rules.For("/" + u.path)
	for _, file := range u.files {
		if own, ok := rules.For("/" + file); ok && own.Own && !rule.Own {
			return own
		}
	}
	return rule
}

// owns reports whether a path belongs to a unit.
func (u *unit) owns(name string) bool {
	switch {
	case !u.within:
		return slices.Contains(u.files, name)
	case u.only != nil:
		return strings.HasPrefix(name, u.path+"/") && u.only.MatchString(u.rest(name))
	}
	return name == u.path || strings.HasPrefix(name, u.path+"/") && !u.apart(name)
}

// members compares the paths of a unit. It skips paths that are certainly unchanged on
// both sides, unless all is true.
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

// mostMembers is the maximum number of paths in a unit, because all are held in memory.
// git packs its objects long before.
const mostMembers = 500_000

var errTooMany = errors.New("it has too many files")

func (p *planner) gather(tree Tree, u *unit, dir string, names map[string]bool) error {
	if longpath.Is(dir) { // not a member
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

// decideUnit decides about a unit. It reports whether there is anything to report.
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
		c.Conflict = "both changed this " + u.what + ": the boot environment's version stays"
	case u.git && repositories(c, members):
		if err := p.mergeGit(u, c, members); err != nil {
			return false, err
		}
	case c.Target.Kind == Missing && nowhere(p.trees.Target, members):
		c.carry(members, false)
		c.Conflict = "changed in the running system, deleted in the boot environment"
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

// nowhere reports whether none of some paths exists in a tree.
func nowhere(tree Tree, members []Change) bool {
	return !slices.ContainsFunc(members, func(m Change) bool {
		node, err := tree.Node(m.Path)
		return err != nil || node.Kind != Missing
	})
}

// repositories reports whether both sides have a repository with refs in files. Only
// git can read refs in tables (git-refs(1)).
func repositories(c *Change, members []Change) bool {
	return c.Running.Kind == Directory && c.Target.Kind == Directory &&
		!slices.ContainsFunc(members, func(m Change) bool { return strings.HasSuffix(m.Path, "/reftable/tables.list") })
}

// nodes reads the unit's own path on all sides.
func (p *planner) nodes(c *Change) (err error) {
	for i, node := range []*Node{&c.Base, &c.Running, &c.Target} {
		if *node, err = p.sides()[i].Node(c.Path); err != nil {
			return err
		}
		if node.Kind == Regular {
			node.Content = fmt.Sprint(i) // the contents are known to differ
		}
	}
	return nil
}

// carry makes a unit the running system's. all is set if the target's files were moved
// away, so that every file must be carried.
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

// setAside makes a unit the running system's, and keeps the target's as a whole, under
// a name by which it can be opened.
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
		c.Kept, c.Note = at, "the boot environment's version is kept as /"+at
		return nil
	}
}

// moves returns the new names of a unit's files. The journals of a database are found
// by its name.
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
