// Package catchup gives an upgraded boot environment what happened in the system
// that it was made of and whose successor it is: the files (package drift), the
// packages, and what is made from them.
package catchup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
)

// ErrNoSource says that nothing can have happened to what an environment was made
// of: it is gone.
var ErrNoSource = errors.New("what it was made of is not there any more")

// Pair is what the system that an environment was made of went through since.
type Pair struct {
	Target be.Env // the environment
	Source be.Env // what it was made of

	store store.Store
	sides drift.Sides
	rules merge.Rules // the live system's
	parts []be.Part   // so too

	dir string // the directory at which all of the live system is seen
}

// PairOf finds what an environment was made of and with, and the rules for what is to
// become of changed files: ErrOrphan.
func PairOf(reg *be.Registry, e be.Env) (Pair, error) {
	base, err := reg.BaseOf(e)
	if errors.Is(err, be.ErrNotFound) {
		return Pair{}, errors.New("there is no snapshot of what it was made from")
	}
	if err != nil {
		return Pair{}, err
	}
	envs, err := reg.List()
	if err != nil {
		return Pair{}, err
	}
	for _, live := range envs {
		if live.Subvolume.UUID != base.ParentUUID {
			continue
		}
		l := Pair{Target: e, Source: live, store: reg.Store(), dir: reg.Dir(live)}
		if l.parts, err = parts.Since(reg, live, e.Record.Parts); err != nil {
			return Pair{}, err
		}
		l.sides = drift.Sides{
			Base: base.Path, Running: live.Subvolume.Path, Parts: l.parts, Target: e.Subvolume.Path, Name: e.Name,
			LeftOut: slices.Concat(e.Record.LeftOut, e.Record.Emptied), ForkGeneration: e.ForkGeneration(),
		}
		l.rules, err = Rules(reg.Store().Path(live.Subvolume.Path))
		return l, err
	}
	return Pair{}, ErrNoSource
}

// Drift compares the files, and changes nothing.
func (l Pair) Drift() (*drift.Drift, error) {
	found, err := drift.Find(l.store, l.sides, l.rules)
	if err != nil {
		return nil, err
	}
	found.Settle()
	return found, nil
}

// PackagesChanged says whether packages were installed, removed or upgraded.
func (l Pair) PackagesChanged() (bool, error) {
	return pkgdb.Changed(l.store.Path(l.sides.Base), l.dir)
}

// Preview tells in words what happened to the files, "" if nothing did, and why the
// environment could not be given that, if so. Nothing is changed.
func Preview(reg *be.Registry, e be.Env) (summary string, err error) {
	l, err := PairOf(reg, e)
	if errors.Is(err, ErrNoSource) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	found, err := l.Drift()
	if err != nil {
		return "", err
	}
	return found.Count().String(), found.CheckRefused()
}

// Synclist has the admin's rules.
const Synclist = "/etc/apt-be/synclist"

// Rules returns the default rules, those of the admin of a root, and that nothing
// is carried over to where it mounts shares: what is there is hidden.
func Rules(root string) (merge.Rules, error) {
	content, err := inroot.ReadFile(root, Synclist)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the synclist: %w", err)
	}
	own, err := merge.ParseRules(Synclist, content)
	if err != nil {
		return nil, fmt.Errorf("cannot read the synclist: %w", err)
	}
	rules := append(merge.DefaultRules(), own...)
	shared, err := share.Mounted(root)
	if err != nil {
		return nil, fmt.Errorf("cannot find out what is shared: %w", err)
	}
	for _, dir := range shared {
		rules = append(rules, merge.Rule{Pattern: dir, Action: merge.Ignore, From: "it is a share"})
	}
	return rules, nil
}
