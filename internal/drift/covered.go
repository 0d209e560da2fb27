package drift

import (
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// refuseCovered refuses new mounts in the running system's fstab over paths that the
// target has changed, for example a moved directory that is bound to its old place. The
// mount would hide these changes.
func (f *finder) refuseCovered(d *Drift, rules merge.Rules) error {
	var entries [3][]fstab.Entry
	for i, dir := range []string{f.dirs.base, f.dirs.live, f.dirs.next} {
		content, err := readIfAny(dir, "etc/fstab")
		if err != nil {
			return err
		}
		entries[i] = fstab.Entries(content)
	}
	known := append(entries[0], entries[2]...)
	for _, e := range entries[1] {
		dir := strings.TrimPrefix(e.Dir, "/")
		at := func(other fstab.Entry) bool { return other.Dir == e.Dir }
		if rule, _ := rules.For(e.Dir); !path.IsAbs(e.Dir) || dir == "" || rule.Own || rule.Action == merge.Ignore || f.below.live[dir] || slices.ContainsFunc(known, at) {
			continue
		}
		covered, err := f.changedBelow(d.targetChanged, dir)
		if err != nil {
			return err
		}
		if covered != "" {
			d.refuse(dir, "the running system now mounts "+e.Source+" there, over /"+covered+", which the upgrade changed. If you repeat the upgrade, the new boot environment has both")
		}
	}
	return nil
}

// refuse marks a change as refused, or adds a refused one.
func (d *Drift) refuse(path, why string) {
	refused := merge.Decision{Refused: true, Conflict: why}
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Path == path {
			refused.Attributes = c.Target.Attributes
			c.Decision = refused
			return
		}
	}
	d.Changes = append(d.Changes, Change{Change: merge.Change{Path: path, Decision: refused}})
}

// changedBelow returns the first path below a directory at which the target differs
// from the base, or "".
func (f *finder) changedBelow(changed []string, dir string) (string, error) {
	for _, name := range changed {
		if name != dir && !strings.HasPrefix(name, dir+"/") {
			continue
		}
		differs, err := f.differs(name, name == dir)
		if err != nil || differs {
			return name, err
		}
	}
	return "", nil
}

// differs reports whether a path differs between target and base; for a directory with
// namesOnly it compares only the names in it.
func (f *finder) differs(name string, namesOnly bool) (bool, error) {
	before, err := f.base.Node(name)
	if err != nil {
		return false, err
	}
	now, err := f.target.Node(name)
	if err != nil {
		return false, err
	}
	switch {
	case !namesOnly && (!before.Same(now) || before.Kind == merge.Regular && before.Size != now.Size):
		return true, nil
	case before.Kind == merge.Regular && now.Kind == merge.Regular:
		same, err := rootfs.Same(name, f.base, f.target)
		return !same, err
	case now.Kind != merge.Directory:
		return false, nil
	}
	was, err := f.base.Names(name)
	if err != nil {
		return false, err
	}
	is, err := f.target.Names(name)
	return !slices.Equal(was, is), err
}
