package merge

import (
	"path"
	"slices"
	"strings"
)

// keptRefs is the prefix of refs to the target's commits that are on no branch of the
// running system. git-gc(1) keeps commits that a name below refs refers to.
const keptRefs = "refs/apt-be"

// gitPart is the way in which a path of a repository is merged.
type gitPart int

const (
	whole    gitPart = iota // taken from the side whose history is used
	object                  // named by its content: those of both sides
	catalog                 // lists objects: may be taken from either side
	ref                     // the name of a commit, in any storage format
	passing                 // unimportant: the index, records of the last command
	lone                    // an independent file: hooks, excludes
	list                    // lists lines
	keptHere                // kept by an earlier merge
)

// gitPartOf classifies paths (gitrepository-layout(5)).
func gitPartOf(name string) gitPart {
	base := path.Base(name)
	switch {
	case name == "objects/info/alternates", name == "shallow":
		return list
	case strings.HasPrefix(name, "objects/info/"), strings.HasPrefix(name, "objects/pack/multi-pack-index"):
		return catalog
	case name == "objects", strings.HasPrefix(name, "objects/"):
		return object
	case name == keptRefs, strings.HasPrefix(name, keptRefs+"/"):
		return keptHere
	case name == "HEAD", name == "packed-refs", strings.HasPrefix(name, "refs/"):
		return ref
	case name == "index", strings.HasPrefix(base, "sharedindex."), name == "logs", strings.HasPrefix(name, "logs/"),
		slices.Contains([]string{"COMMIT_EDITMSG", "FETCH_HEAD", "ORIG_HEAD", "gc.log", "gc.pid"}, base), strings.HasSuffix(base, ".lock"):
		return passing
	case name == "description", name == "hooks", strings.HasPrefix(name, "hooks/"), name == "info", strings.HasPrefix(name, "info/"):
		return lone
	}
	return whole
}

// gitDir is a repository in a unit: the unit's own, or a submodule's.
type gitDir struct {
	path    string
	members []*Change
	refs    [3]map[string]string
}

// mergeGit merges a repository: the running system's history, the objects of both, and
// names for the target's commits that were on its own branches. If the running system
// did not change the history, the target's history stays.
func (p *planner) mergeGit(u *unit, c *Change, members []Change) error {
	dirs := gitDirs(u, members)
	c.Decision = Decision{Source: FromMerged, Action: Merge, Attributes: c.Target.Attributes}
	c.Note = "branches, index and settings are the running system's, objects are from both"
	var names, stays int
	for i, d := range dirs {
		if err := p.readRefs(d); err != nil {
			if p.users(c.Path) {
				c.Unit, c.Decision = Unit{Description: u.what}, Decision{Attributes: c.Target.Attributes}
				return p.setAside(u, c)
			}
			c.Unit = Unit{Description: u.what}
			c.Decision = p.cannot(c, err)
			return nil
		}
		ours := d.moved()
		if !ours {
			stays++
		}
		parts, err := p.gitParts(d, ours)
		if err != nil {
			return err
		}
		c.Parts = append(c.Parts, parts...)
		if !ours {
			continue
		}
		tips := d.tips()
		if i == 0 {
			c.Tip = d.head(2)
			if !slices.ContainsFunc(tips, func(t tip) bool { return t.commit == c.Tip }) {
				c.Tip = ""
			}
		}
		kept, err := p.keep(d, tips)
		if err != nil {
			return err
		}
		c.Parts = append(c.Parts, kept...)
		names += len(tips)
	}
	switch {
	case stays == len(dirs):
		c.Note = "branches, index and settings stay the boot environment's, because the running system committed nothing"
	case names > 0:
		c.Note += "; the boot environment's commits are kept as " + keptRefs + "/" + refWord(p.trees.Name) + " until a branch contains them"
	}
	slices.SortStableFunc(c.Parts, func(a, b Change) int { return comparePaths(a.Path, b.Path) })
	return nil
}

// gitDirs returns the repositories in a unit, outermost first, each with its own
// members.
func gitDirs(u *unit, members []Change) []*gitDir {
	there := [3]map[string]Kind{{}, {}, {}}
	for _, m := range members {
		for i, node := range []Node{m.Base, m.Running, m.Target} {
			there[i][m.Path] = node.Kind
		}
	}
	var dirs []*gitDir
	for _, m := range members {
		for i := range there {
			side := there[i]
			head := side[m.Path+"/HEAD"]
			if head == Regular || head == Symlink {
				if m.Path == u.path || side[m.Path+"/objects"] == Directory && side[m.Path+"/refs"] == Directory {
					dirs = append(dirs, &gitDir{path: m.Path})
					break
				}
			}
		}
	}
	if len(dirs) == 0 {
		dirs = []*gitDir{{path: u.path}}
	}
	for i := range members {
		m := &members[i]
		for _, d := range slices.Backward(dirs) {
			if m.Path == d.path || strings.HasPrefix(m.Path, d.path+"/") {
				d.members = append(d.members, m)
				break
			}
		}
	}
	return dirs
}

// name returns a member's path in its repository.
func (d *gitDir) name(m *Change) string {
	return strings.TrimPrefix(strings.TrimPrefix(m.Path, d.path), "/")
}

// moved reports whether the running system changed the history or the settings.
func (d *gitDir) moved() bool {
	if !sameRefs(d.refs[0], d.refs[1]) {
		return true
	}
	return slices.ContainsFunc(d.members, func(m *Change) bool {
		return gitPartOf(d.name(m)) == whole && m.Path != d.path && m.Running.Kind != Directory && !m.Running.Same(m.Base)
	})
}

// gitParts decides about the paths of a repository. If ours is true, the history is the
// running system's, otherwise the target's.
func (p *planner) gitParts(d *gitDir, ours bool) ([]Change, error) {
	other := d.otherPacks()
	var parts []Change
	for _, m := range d.members {
		part := *m
		fromLive := Decision{Source: FromRunning, Attributes: m.Running.Attributes}
		name := d.name(m)
		switch kind := gitPartOf(name); {
		case m.Running.Same(m.Target):
			continue
		case kind == object:
			if m.Running.Kind == Missing && !other[stem(name)] || m.Running.Kind == m.Target.Kind && (m.Running.Kind == Directory || !other[stem(name)]) {
				continue
			}
			part.Decision = fromLive
		case kind == catalog:
			if m.Running.Kind == Missing || !ours && m.Target.Kind != Missing {
				continue
			}
			part.Decision = fromLive
		case kind == keptHere:
			if m.Target.Kind != Missing {
				continue
			}
			part.Decision = fromLive
		case kind == lone:
			if m.Running.Same(m.Base) {
				continue
			}
			part.Decision = fromLive
		case kind == list && m.Base.Kind != Directory && m.Target.Kind == Regular && !m.Target.Same(m.Base):
			merged, err := p.mergeLines(m)
			if err != nil {
				return nil, err
			}
			part.Decision = Decision{Source: FromMerged, Action: Merge, Attributes: m.Target.Attributes}
			part.ready = merged
			if len(merged) == 0 { // an empty file would have a meaning, too
				part.Running, part.Decision = Node{}, Decision{Source: FromRunning}
			}
		case m.Path == d.path || m.Running.Kind == Directory && m.Target.Kind == Directory:
			part.Decision = attributesOnly(m.Base, m.Running, m.Target)
		case kind == list, ours:
			part.Decision = fromLive
		default:
			continue
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// stem returns the common part of the names of a pack's files, or "" if name does not
// belong to a pack.
func stem(name string) string {
	base, ok := strings.CutPrefix(name, "objects/pack/pack-")
	if !ok {
		return ""
	}
	base, _, _ = strings.Cut(base, ".")
	return base
}

// otherPacks returns the packs whose content differs between the sides under the same
// name. Their other files are taken from the same side.
func (d *gitDir) otherPacks() map[string]bool {
	other := map[string]bool{}
	for _, m := range d.members {
		if name := d.name(m); strings.HasSuffix(name, ".pack") && stem(name) != "" && m.Running.Kind == Regular && m.Target.Kind == Regular && m.Running.Content != m.Target.Content {
			other[stem(name)] = true
		}
	}
	return other
}

func (p *planner) mergeLines(m *Change) ([]byte, error) {
	var texts [3][]byte
	for i, tree := range p.sides() {
		var err error
		if texts[i], err = p.readAll(tree, m.Path); err != nil {
			return nil, err
		}
	}
	merged, _ := format{key: wholeLine}.lines(texts[0], texts[1], texts[2])
	return merged, nil
}
