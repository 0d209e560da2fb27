package merge

import (
	"path"
	"slices"

	"github.com/apt-be/apt-be/internal/longpath"
)

// Difference is a path at which two trees differ.
type Difference struct {
	Path    string
	Before  Node
	After   Node
	Content bool // the files' contents differ, or one of them is not a file
}

// Compare calls visit for each path at which two trees differ, a directory before its
// content. It also visits the content of a directory that exists in one tree only. It
// does not look into directories with too long paths (package longpath); same compares
// these.
func Compare(before, after Tree, same func(path string, a, b Tree) (bool, error), visit func(Difference) error) error {
	return compare(".", before, after, same, visit)
}

func compare(name string, before, after Tree, same func(string, Tree, Tree) (bool, error), visit func(Difference) error) error {
	a, err := before.Node(name)
	if err != nil {
		return err
	}
	b, err := after.Node(name)
	if err != nil {
		return err
	}
	d := Difference{Path: name, Before: a, After: b, Content: !a.sameThing(b)}
	if a.Kind == Regular && b.Kind == Regular {
		d.Content = a.Size != b.Size
		if !d.Content && a.Size > 0 {
			equal, err := same(name, before, after)
			if err != nil {
				return err
			}
			d.Content = !equal
		}
	}
	if longpath.Is(name) && a.Kind == Directory && b.Kind == Directory {
		equal, err := same(name, before, after)
		if err != nil {
			return err
		}
		d.Content = !equal
	}
	if d.Content || !a.Attributes.same(b.Attributes) {
		if err := visit(d); err != nil {
			return err
		}
	}
	if longpath.Is(name) {
		return nil
	}
	names, err := both(name, before, after, a, b)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := compare(path.Join(name, entry), before, after, same, visit); err != nil {
			return err
		}
	}
	return nil
}

// both returns the names in a directory of either tree, sorted.
func both(name string, before, after Tree, a, b Node) ([]string, error) {
	var names []string
	for _, side := range []struct {
		tree Tree
		node Node
	}{{before, a}, {after, b}} {
		if side.node.Kind != Directory {
			continue
		}
		there, err := side.tree.Names(name)
		if err != nil {
			return nil, err
		}
		names = append(names, there...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
