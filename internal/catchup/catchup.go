// Package catchup carries the changes of the running system to an upgraded boot
// environment: files (package drift), package changes, and files that are generated
// from others.
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

// ErrNoSource reports that the origin of an environment no longer exists, so there are
// no changes to carry.
var ErrNoSource = errors.New("its origin no longer exists")

// Pair is an environment and the origin whose changes it receives.
type Pair struct {
	Target be.Env // the environment that receives the changes
	Source be.Env // its origin

	store store.Store
	sides drift.Sides
	rules merge.Rules // the source's synclist rules
	parts []be.Part   // the source's parts

	dir string // the directory at which the source is visible with its parts
}

// PairOf returns the pair for an environment, with the base and the source's rules. It
// returns ErrNoSource if the origin no longer exists.
func PairOf(reg *be.Registry, e be.Env) (Pair, error) {
	base, err := reg.BaseOf(e)
	if errors.Is(err, be.ErrNotFound) {
		return Pair{}, errors.New("it has no base")
	}
	if err != nil {
		return Pair{}, err
	}
	envs, err := reg.List()
	if err != nil {
		return Pair{}, err
	}
	for _, running := range envs {
		if running.Subvolume.UUID != base.ParentUUID {
			continue
		}
		p := Pair{Target: e, Source: running, store: reg.Store(), dir: reg.Dir(running)}
		if p.parts, err = parts.Since(reg, running, e.Record.Parts); err != nil {
			return Pair{}, err
		}
		p.sides = drift.Sides{
			Base: base.Path, Running: running.Subvolume.Path, Parts: p.parts, Target: e.Subvolume.Path, Name: e.Name,
			LeftOut: slices.Concat(e.Record.LeftOut, e.Record.Emptied), ForkGeneration: e.ForkGeneration(),
		}
		p.rules, err = Rules(reg.Store().Path(running.Subvolume.Path))
		return p, err
	}
	return Pair{}, ErrNoSource
}

// Drift compares the files. It changes nothing.
func (p Pair) Drift() (*drift.Drift, error) {
	found, err := drift.Find(p.store, p.sides, p.rules)
	if err != nil {
		return nil, err
	}
	found.Settle()
	return found, nil
}

// PackagesChanged reports whether packages of the source were installed, removed or
// upgraded.
func (p Pair) PackagesChanged() (bool, error) {
	return pkgdb.Changed(p.store.Path(p.sides.Base), p.dir)
}

// Preview returns a summary of the changed files, or "". Its error says why the changes
// cannot be carried. It changes nothing.
func Preview(reg *be.Registry, e be.Env) (summary string, err error) {
	p, err := PairOf(reg, e)
	if errors.Is(err, ErrNoSource) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	found, err := p.Drift()
	if err != nil {
		return "", err
	}
	return found.Count().String(), found.CheckRefused()
}

// Synclist is the file with the administrator's rules.
const Synclist = "/etc/apt-be/synclist"

// Rules returns the default rules, followed by the rules of a root's administrator, and
// a rule for each share: nothing is carried to the directories that shares hide.
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
		return nil, fmt.Errorf("cannot determine the shares: %w", err)
	}
	for _, dir := range shared {
		rules = append(rules, merge.Rule{Pattern: dir, Action: merge.Ignore, From: "a share"})
	}
	return rules, nil
}

// PackagesChanged reports whether packages of the running system changed since an
// environment was made from it. The environment lacks these changes, and the next boot
// would lose them.
func PackagesChanged(reg *be.Registry, e be.Env) (bool, error) {
	running, err := reg.Running()
	if err != nil {
		return false, err
	}
	base, err := reg.BaseOf(e)
	if err != nil {
		return false, err
	}
	return pkgdb.Changed(reg.Store().Path(base.Path), reg.Dir(running))
}
