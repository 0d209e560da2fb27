package drift

import (
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// moved returns the directories that the running system has moved, and whose changes
// are refused because of that. A link, or a bind mount of the fstab, leads from the old
// to the new place. The target's directory can be moved in the same way.
func (f *finder) moved(d *Drift) (moves []rootfs.Move, err error) {
	bound, err := f.bound()
	if err != nil {
		return nil, err
	}
	for _, c := range d.Refused() {
		there, err := f.running.Node(c.Path)
		if err != nil {
			return nil, err
		}
		to := bound[c.Path]
		if there.Kind == merge.Symlink {
			to = there.Content
			if !path.IsAbs(to) {
				to = path.Join("/", path.Dir(c.Path), to)
			}
		}
		m := rootfs.Move{From: c.Path, To: strings.TrimPrefix(path.Clean(to), "/"), There: there}
		ok, err := f.canFollow(m)
		if err != nil {
			return nil, err
		}
		if ok && !slices.ContainsFunc(moves, func(other rootfs.Move) bool { return related(m, other) }) {
			moves = append(moves, m)
		}
	}
	return moves, nil
}

// bound returns the directories that the running system's fstab binds to other places,
// keyed by these places without leading slash.
func (f *finder) bound() (map[string]string, error) {
	content, err := readIfAny(f.dirs.live, "etc/fstab")
	if err != nil {
		return nil, err
	}
	bound := map[string]string{}
	for dir, source := range fstab.Bound(fstab.Entries(content)) {
		bound[strings.TrimPrefix(dir, "/")] = source
	}
	return bound, nil
}

// within reports whether name is dir or below it.
func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func related(a, b rootfs.Move) bool {
	for _, x := range []string{a.From, a.To} {
		for _, y := range []string{b.From, b.To} {
			if within(x, y) || within(y, x) {
				return true
			}
		}
	}
	return false
}

// canFollow reports whether a directory of the base is unmoved in the target, and was
// moved in the running system to a place that was free.
func (f *finder) canFollow(m rootfs.Move) (bool, error) {
	if m.To == "" || m.To == "." || within(m.To, m.From) || within(m.From, m.To) {
		return false, nil
	}
	for _, want := range []struct {
		root *rootfs.Root
		path string
		kind merge.Kind
	}{
		{f.base, m.From, merge.Directory}, {f.target, m.From, merge.Directory}, {f.running, m.To, merge.Directory},
		{f.base, m.To, merge.Missing}, {f.target, m.To, merge.Missing},
	} {
		node, err := want.root.Node(want.path)
		if err != nil || node.Kind != want.kind {
			return false, err
		}
		if node.Kind == merge.Missing {
			continue
		}
		if holds, err := want.root.Holds(want.path); err != nil || !holds {
			return false, err
		}
	}
	if m.There.Kind == merge.Directory {
		inside, err := f.running.Names(m.From)
		if err != nil || len(inside) > 0 {
			return false, err
		}
	}
	for up := path.Dir(m.To); up != "."; up = path.Dir(up) {
		node, err := f.target.Node(up)
		if err != nil {
			return false, err
		}
		if node.Kind != merge.Missing {
			holds, err := f.target.Holds(up)
			return holds && node.Kind == merge.Directory, err
		}
	}
	return true, nil
}

// planMoved repeats the decision for refused directories, as if the directories had
// been moved in base and target, too.
func (f *finder) planMoved(d *Drift, runningChanged []string, untouched bool, rules merge.Rules, fileOf func(string) merge.File) error {
	moves, err := f.moved(d)
	if err != nil || len(moves) == 0 {
		return err
	}
	f.moves, f.base, f.target = moves, f.base.Moved(moves), f.target.Moved(moves)
	*d = Drift{targetChanged: d.targetChanged, times: map[string]int64{}, moves: moves, NewSubvolumes: d.NewSubvolumes, places: d.places}
	was := func(path string) merge.File { return fileOf(rootfs.PathBefore(moves, path)) }
	if err := f.plan(d, runningChanged, untouched, rulesOf(moves, rules), was); err != nil {
		return err
	}
	for _, m := range moves {
		directory := merge.Node{Kind: merge.Directory}
		d.Changes = append(d.Changes, Change{Change: merge.Change{
			Path: m.From, Base: directory, Running: m.There, Target: directory,
			Decision: merge.Decision{Source: merge.FromRunning, Attributes: m.There.Attributes},
		}})
	}
	return nil
}

// rulesOf adds to the rules of moved directories copies for their new places. The
// administrator's rules stay after the default ones.
func rulesOf(moves []rootfs.Move, rules merge.Rules) merge.Rules {
	first := slices.IndexFunc(rules, func(r merge.Rule) bool { return r.Own })
	if first < 0 {
		first = len(rules)
	}
	last := first
	for i, rule := range rules {
		if rule.Own {
			last = i + 1
		}
	}
	return slices.Concat(rules[:first], movedRules(moves, rules, false), rules[first:last], movedRules(moves, rules, true), rules[last:])
}

func movedRules(moves []rootfs.Move, rules merge.Rules, own bool) (found merge.Rules) {
	for _, m := range moves {
		if rule, ok := rules.For("/" + m.From); ok && rule.Own == own {
			rule.Pattern = "/" + m.To
			found = append(found, rule)
		}
		for _, rule := range rules {
			if below, ok := strings.CutPrefix(rule.Pattern, "/"+m.From+"/"); ok && rule.Own == own {
				rule.Pattern = "/" + m.To + "/" + below
				found = append(found, rule)
			}
		}
	}
	return found
}
