package merge

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sync"

	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/parallel"
)

// Tree is one version of a root file system. Paths are relative to the root, which is
// ".", and cleaned. Symbolic links are not followed. Several goroutines may call it.
type Tree interface {
	// Node describes a path. If the path, or a directory above it, does not exist, it
	// is Missing. It does not set a file's Content; see Trees.Same.
	Node(path string) (Node, error)
	// Names returns the names in a directory, or none if it does not exist.
	Names(path string) ([]string, error)
}

// Trees are the three versions.
type Trees struct {
	Base, Running, Target Tree
	// Same reports whether two regular files at a path, of the same size, have the same
	// content. For directories with too long paths it compares everything below them.
	Same func(path string, a, b Tree) (bool, error)
	// Modified reports whether a path of the target was changed since the target was a
	// snapshot of the base. Nil means that this is unknown.
	Modified func(path string) bool
	// Time is called with the modification time to set for a path of the target,
	// because the running system changed it. Nil ignores times.
	Time func(path string, modified int64)
	// Read returns the first bytes of a file, at most most. Nil disables the detection
	// of units.
	Read func(path string, tree Tree, most int64) ([]byte, error)
	// IsUsers reports whether a path of the running system belongs to a user.
	// SkipUnreadable reports whether a path that cannot be compared is skipped, because
	// an unprivileged user may be the cause. Nil means no.
	IsUsers        func(path string) bool
	SkipUnreadable func(path string, err error) bool
	// Name is the name of the target, for files that are kept beside others.
	Name string
}

// Change is a path that the running system changed, with the decision.
type Change struct {
	Path                  string
	Base, Running, Target Node
	File                  File
	Rule                  Rule // Action is "" if no rule applies
	Whole                 bool // it represents everything in the directory, see package longpath
	Decision
	Unit  // the paths of the unit are in no other Change
	ready []byte
}

// Plan decides about all paths that the running system changed, a directory before its
// content. changed are the paths that may have changed, from Store.Changed; fileOf
// classifies a path. Plan refuses paths that it cannot compare, or skips them
// (Trees.SkipUnreadable). It also returns files that are equal on all sides: a path for
// each, by inode in the running system, which may have got another name.
func Plan(trees Trees, changed []string, rules Rules, fileOf func(path string) File) (changes []Change, same map[uint64]string, err error) {
	p := planner{
		trees: trees, found: map[string]*pair{}, carried: map[string]bool{}, failed: map[string]error{},
		ways: map[string]Kind{}, stayed: map[string]bool{}, walked: [2]map[string]bool{{}, {}},
	}
	p.candidates(cutAll(changed))
	names := p.inOrder()
	compared, failed := make([]Change, len(names)), make([]error, len(names))
	_ = parallel.Each(len(names), func(i int) error {
		compared[i].Path = names[i]
		if failed[i] = p.failed[names[i]]; failed[i] == nil {
			failed[i] = p.compare(&compared[i])
		}
		return nil
	})
	same = map[uint64]string{}
	for i, c := range compared {
		name := c.Path
		rule, _ := rules.For("/" + name)
		c.File, c.Rule = fileOf(name), rule
		if rule.Own && rule.Action == Overwrite && c.File == Packaged {
			c.File = Setting // the administrator's rule decides
		}
		if err := failed[i]; err != nil {
			c.Decision = p.cannot(&c, err)
			changes = append(changes, c)
			continue
		}
		if c.Running.Same(c.Base) {
			if c.Running.Kind == Regular && c.Running.Same(c.Target) {
				same[c.Running.Inode] = name
			}
			p.time(c)
			continue
		}
		if err := p.settle(&c); err != nil {
			return nil, nil, err
		}
		if c.Source == FromRunning {
			p.carried[name] = true
		}
		p.time(c)
		changes = append(changes, c)
	}
	if err := p.settleReplaced(changes); err != nil {
		return nil, nil, err
	}
	changes, err = p.units(changes, same, rules, fileOf)
	return changes, same, err
}

type planner struct {
	trees Trees
	found map[string]*pair // the candidates, with their nodes once they were compared
	// Paths that the running system's version is carried to. A path is decided after
	// all directories above it.
	carried map[string]bool
	failed  map[string]error   // paths that cannot be read, and everything below them
	walked  [2]map[string]bool // directories whose content was recorded completely
	ways    map[string]Kind    // the target's kinds of directories of the running system
	mutex   sync.Mutex         // protects stayed
	stayed  map[string]bool    // whether a directory of the base is the same directory in the target
}

// pair is the nodes of a path on two sides.
type pair struct{ base, live Node }

// inOrder returns the candidates, a directory before its content.
func (p *planner) inOrder() []string {
	var names []string
	for name := range p.found {
		names = append(names, name)
	}
	slices.SortFunc(names, comparePaths)
	return names
}

// comparePaths compares paths part by part, so that a directory sorts directly before
// its content.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// look returns the nodes of a path in the running system and in the base.
func (p *planner) look(name string) (*pair, error) {
	running, err := p.trees.Running.Node(name)
	if err != nil {
		return nil, err
	}
	base, err := p.trees.Base.Node(name)
	return &pair{base, running}, err
}

// compare reads a path on all sides, and gives equal files the same Content.
func (p *planner) compare(c *Change) error {
	t := p.trees
	both := p.found[c.Path]
	if both == nil {
		var err error
		if both, err = p.look(c.Path); err != nil {
			return err
		}
	}
	c.Base, c.Running = both.base, both.live
	untouched, err := p.untouched(c.Path)
	if err != nil {
		return err
	}
	if !untouched {
		if c.Target, err = t.Target.Node(c.Path); err != nil {
			return err
		}
	}
	c.Whole = longpath.Is(c.Path) && (c.Base.Kind == Directory || c.Running.Kind == Directory || c.Target.Kind == Directory)
	const first, second, third = "first", "second", "third"
	if c.hasContent(c.Base) {
		c.Base.Content = first
	}
	if c.hasContent(c.Running) {
		same, err := p.same(c.Path, t.Base, t.Running, c.Base, c.Running)
		if err != nil {
			return err
		}
		c.Running.Content = pick(same, c.Base.Content, second)
	}
	if untouched {
		c.Target = c.Base
		return nil
	}
	if c.hasContent(c.Target) {
		same, err := p.same(c.Path, t.Base, t.Target, c.Base, c.Target)
		if err != nil {
			return err
		}
		if same {
			c.Target.Content = first
			return nil
		}
		if same, err = p.same(c.Path, t.Running, t.Target, c.Running, c.Target); err != nil {
			return err
		}
		c.Target.Content = pick(same, c.Running.Content, third)
	}
	return nil
}

// hasContent reports whether a node has content that Trees.Same compares.
func (c *Change) hasContent(n Node) bool {
	return n.Kind == Regular || c.Whole && n.Kind == Directory
}

// untouched reports whether a path is certainly equal in target and base: neither the
// path nor the names in its directory were modified, and the directory is the base's.
func (p *planner) untouched(name string) (bool, error) {
	touched, dir := p.trees.Modified, path.Dir(name)
	if touched == nil || name == "." || touched(name) || touched(dir) {
		return false, nil
	}
	return p.stays(dir)
}

// stays reports whether a directory of the base is the same directory in the target.
func (p *planner) stays(dir string) (bool, error) {
	if dir == "." {
		return true, nil
	}
	p.mutex.Lock()
	stayed, known := p.stayed[dir]
	p.mutex.Unlock()
	if known {
		return stayed, nil
	}
	before, err := p.trees.Base.Node(dir)
	if err != nil {
		return false, err
	}
	now, err := p.trees.Target.Node(dir)
	if err != nil {
		return false, err
	}
	stayed = before.Kind == now.Kind && before.Inode == now.Inode
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.stayed[dir] = stayed
	return stayed, nil
}

// checkWay refuses a path that would be created below something that is not a directory
// in the target.
func (p *planner) checkWay(c *Change) error {
	if c.Source != FromRunning && !c.KeepRunning || c.Running.Kind == Missing {
		return nil
	}
	for up := path.Dir(c.Path); up != "." && !p.carried[up]; up = path.Dir(up) {
		kind, known := p.ways[up]
		if !known {
			node, err := p.trees.Target.Node(up)
			if err != nil {
				err = fmt.Errorf("cannot read /%s in the boot environment: %w", up, err)
				if p.trees.SkipUnreadable == nil || !p.trees.SkipUnreadable(c.Path, err) {
					return err
				}
				c.Decision = p.cannot(c, err)
				return nil
			}
			kind = node.Kind
			p.ways[up] = kind
		}
		if kind == Directory {
			return nil
		}
		if kind != Missing {
			c.Decision = Decision{Refused: true, Attributes: c.Target.Attributes, Conflict: "/" + up + " is " + kind.String() + " in the boot environment"}
			return nil
		}
	}
	return nil
}

func pick(same bool, yes, no string) string {
	if same {
		return yes
	}
	return no
}

// same compares files, sizes first, and the content of directories.
func (p *planner) same(name string, a, b Tree, nodeA, nodeB Node) (bool, error) {
	if nodeA.Kind == Directory && nodeB.Kind == Directory {
		return p.trees.Same(name, a, b)
	}
	if nodeA.Kind != Regular || nodeB.Kind != Regular || nodeA.Size != nodeB.Size {
		return false, nil
	}
	if nodeA.Size == 0 {
		return true, nil
	}
	return p.trees.Same(name, a, b)
}
