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

// Tree is one version of a root file system. Paths in it are relative to its
// root, which is ".", and cleaned. No symbolic link is followed. It is looked at
// from several goroutines at once.
type Tree interface {
	// Node describes what is at a path: Missing also if a directory above it is
	// none. A file's Content is left to Trees.Same.
	Node(path string) (Node, error)
	// Names returns the names in a directory, and none if there is no directory.
	Names(path string) ([]string, error)
}

// Trees are the three versions.
type Trees struct {
	Base, Running, Target Tree
	// Same says whether the regular files at a path in two of them, which have
	// the same size, have the same content, or whether all is the same that is in
	// the directories at a path that is too long to look into them.
	Same func(path string, a, b Tree) (bool, error)
	// Touched says whether something was done to what has a path on the new side
	// since that was a snapshot of the base; nil if it is not known to be one.
	Modified func(path string) bool
	// Time is told which time something is to have afterwards that is not the new
	// side's: the live side has given it another one. Nil if times are of no interest.
	Time func(path string, modified int64)
	// Read returns what a file begins with, at most so many bytes. Without it, nothing
	// is known to be a Unit.
	Read func(path string, tree Tree, most int64) ([]byte, error)
	// Users says whether a path is one of a user on the live side, and Leaves whether
	// what is there and can't be compared stays behind, since somebody but the admin
	// may have seen to it that it can't. Nil says no.
	IsUsers        func(path string) bool
	SkipUnreadable func(path string, err error) bool
	// Name is that of the environment, for what is kept of it beside something else.
	Name string
}

// Change is a path at which the live side did something, and what becomes of it.
type Change struct {
	Path                  string
	Base, Running, Target Node
	File                  File
	Rule                  Rule // with an Action of "" if none is for it
	Whole                 bool // it stands for all that is in the directory, see package longpath
	Decision
	Unit  // whose paths are in no other Change
	ready []byte
}

// Plan decides on all paths at which the live side did something, in an order in
// which a directory comes before what is in it. It is told what may have changed
// there, as a store's Changed says it, and what a path is to the system. What it
// can't compare it refuses, or leaves behind (Trees.Leaves). It returns also what turned out to be the same on all
// sides: a path for each such file, by its inode on the live side, which may have got
// another name.
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
			c.File = Setting // the admin has said so
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
	found map[string]*pair // the candidates, with what they are if they have been looked at
	// What will be as it is on the live side: of a path, all above it is decided first.
	carried map[string]bool
	failed  map[string]error   // what can't be looked at, and what is in it
	walked  [2]map[string]bool // the directories all of which is noted
	ways    map[string]Kind    // what directories on the live side are on the new one
	mutex   sync.Mutex         // for stayed
	stayed  map[string]bool    // whether directories of the base are what has their paths on the new side
}

// pair is what is at a path on two sides.
type pair struct{ base, live Node }

// inOrder returns the candidates, what is in a directory after it.
func (p *planner) inOrder() []string {
	var names []string
	for name := range p.found {
		names = append(names, name)
	}
	slices.SortFunc(names, comparePaths)
	return names
}

// comparePaths orders paths part by part, so that nothing comes between a
// directory and what is in it: a slash comes before all else.
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

// look looks at a path on the live side, and in the base.
func (p *planner) look(name string) (*pair, error) {
	running, err := p.trees.Running.Node(name)
	if err != nil {
		return nil, err
	}
	base, err := p.trees.Base.Node(name)
	return &pair{base, running}, err
}

// compare looks at a path on all sides, and gives the same Content to files that
// have it.
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

// hasContent says whether a node has something that Trees.Same compares.
func (c *Change) hasContent(n Node) bool {
	return n.Kind == Regular || c.Whole && n.Kind == Directory
}

// untouched says whether a path is certainly on the new side what it is in the
// base: neither that nor the names in its directory were touched, and the directory
// is still that of the base.
func (p *planner) untouched(name string) (bool, error) {
	touched, dir := p.trees.Modified, path.Dir(name)
	if touched == nil || name == "." || touched(name) || touched(dir) {
		return false, nil
	}
	return p.stays(dir)
}

// stays says whether a directory of the base is what has its path on the new side.
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

// checkWay refuses to make something where the new side has something else than a
// directory above it.
func (p *planner) checkWay(c *Change) error {
	if c.Source != FromRunning && !c.KeepRunning || c.Running.Kind == Missing {
		return nil
	}
	for up := path.Dir(c.Path); up != "." && !p.carried[up]; up = path.Dir(up) {
		kind, known := p.ways[up]
		if !known {
			node, err := p.trees.Target.Node(up)
			if err != nil {
				err = fmt.Errorf("cannot look at /%s in the environment: %w", up, err)
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
			c.Decision = Decision{Refused: true, Attributes: c.Target.Attributes, Conflict: "/" + up + " is " + kind.String() + " in the environment"}
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

// same compares files, the sizes first, and what is in directories.
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
