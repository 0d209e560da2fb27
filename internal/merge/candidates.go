package merge

import (
	"path"
	"slices"

	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/parallel"
)

// candidates records paths that may have changed in the running system, with related
// paths.
func (p *planner) candidates(changed []string) {
	pairs, failed := make([]*pair, len(changed)), make([]error, len(changed))
	_ = parallel.Each(len(changed), func(i int) error {
		pairs[i], failed[i] = p.look(changed[i])
		return nil
	})
	for i, name := range changed {
		p.found[name] = pairs[i]
		err := failed[i]
		if err == nil {
			err = p.inside(name, *pairs[i])
		}
		if err != nil {
			p.failed[name] = err
		}
	}
}

// inside records the content of a directory that may have changed. It compares the
// names of both sides, because the list of changed paths contains neither deleted paths
// nor the content of moved directories. If a directory was moved to the place of
// another one, the content of both is recorded.
func (p *planner) inside(name string, both pair) error {
	base, running := both.base, both.live
	if longpath.Is(name) || p.walked[onLive][name] && base.Kind != Directory {
		return nil
	}
	var now, before []string
	var err error
	if running.Kind == Directory {
		if now, err = p.trees.Running.Names(name); err != nil {
			return err
		}
	}
	if base.Kind == Directory {
		if before, err = p.trees.Base.Names(name); err != nil {
			return err
		}
	}
	another := running.Inode != base.Inode
	for _, list := range []struct {
		names, others []string
		side          int
	}{{now, before, onLive}, {before, now, inBase}} {
		names := list.names
		if !another {
			names = without(list.names, list.others)
		}
		for _, entry := range names {
			p.whole(list.side, path.Join(name, entry))
		}
	}
	return nil
}

// without returns the names that are not among others.
func without(names, others []string) []string {
	there := map[string]bool{}
	for _, name := range others {
		there[name] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[name] })
}

// The sides to walk.
const (
	inBase = iota
	onLive
)

// whole records a path and everything below it on one side. It walks each directory
// only once.
func (p *planner) whole(side int, name string) {
	if _, known := p.found[name]; !known {
		p.found[name] = nil
	}
	if longpath.Is(name) || p.walked[side][name] {
		return
	}
	names, err := p.sides()[side].Names(name)
	if err != nil {
		p.failed[name] = err
	}
	if len(names) > 0 {
		p.walked[side][name] = true
	}
	for _, entry := range names {
		p.whole(side, path.Join(name, entry))
	}
}
