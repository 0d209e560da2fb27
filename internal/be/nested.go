package be

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
)

// Nested is a subvolume nested in an environment that came with it: a copy of what
// the origin has, or made by the upgrade.
type Nested struct {
	UUID       string `json:"uuid"`
	Generation uint64 `json:"generation"` // in which it was as it came
}

// NestedError says that subvolumes nested in an environment exist nowhere else.
type NestedError struct {
	Name  string   // of the environment
	Paths []string // in it, with a leading slash
}

// Error implements error.
func (e *NestedError) Error() string {
	what := "the subvolume %s in it exists nowhere else"
	if len(e.Paths) > 1 {
		what = "subvolumes in it exist nowhere else: %s"
	}
	return fmt.Sprintf("%v: "+what, ErrProtected, strings.Join(e.Paths, ", "))
}

// Is says that it is an error of kind ErrProtected.
func (e *NestedError) Is(target error) bool { return target == ErrProtected }

// UniqueNested returns the subvolumes nested in an environment that would be lost with
// it: others than those that came with it and are as they came, those in which is
// nothing but swap files, and those that live on in a snapshot elsewhere, taken
// when they were as they are now.
func (r *Registry) UniqueNested(e Env) ([]store.Subvolume, error) {
	only, err := r.uniqueNested(e)
	if err != nil {
		return nil, fmt.Errorf("cannot find out which subvolumes are in %s only: %w", e.Name, err)
	}
	return only, nil
}

func (r *Registry) uniqueNested(e Env) ([]store.Subvolume, error) {
	if e.Subvolume.Path == "." { // all others are in it
		return nil, nil
	}
	nested, err := r.store.Nested(e.Subvolume.Path)
	if err != nil || len(nested) == 0 {
		return nil, err
	}
	if err := r.store.Sync(); err != nil { // what has changed counts once it is written
		return nil, err
	}
	var only []store.Subvolume
	var all *family
	for _, sub := range nested {
		cheap, err := r.isOwn(e, sub)
		if err != nil {
			return nil, err
		}
		if cheap {
			continue
		}
		if all == nil {
			if all, err = r.family(); err != nil {
				return nil, err
			}
		}
		lives, err := all.livesOn(sub, e)
		if err != nil {
			return nil, err
		}
		if !lives {
			only = append(only, sub)
		}
	}
	return only, nil
}

// isOwn says whether a subvolume nested in an environment is of no worth beyond
// that: a part of its root, one that is as it came with it, or only swapped to.
func (r *Registry) isOwn(e Env, sub store.Subvolume) (bool, error) {
	place := strings.TrimPrefix(sub.Path, e.Subvolume.Path)
	came := slices.ContainsFunc(e.Record.Nested, func(n Nested) bool { return n.UUID == sub.UUID })
	if came && slices.ContainsFunc(e.Record.Parts, func(p Part) bool { return p.Place == place }) {
		return true, nil
	}
	for _, n := range e.Record.Nested {
		if n.UUID == sub.UUID {
			changed, err := r.store.Changed(sub.Path, n.Generation)
			if err != nil || len(changed) == 0 {
				return err == nil, err
			}
		}
	}
	_, only, err := swapfile.In(r.store.Path(sub.Path))
	return only, err
}

// family is all subvolumes that there are, and the environments that they are in.
type family struct {
	r    *Registry
	envs []Env
	all  []store.Subvolume
}

func (r *Registry) family() (*family, error) {
	envs, err := r.List()
	if err != nil {
		return nil, err
	}
	all, err := r.store.Nested(".")
	return &family{r, envs, all}, err
}

// livesOn says whether a subvolume nested in an environment has been handed on: it
// has not changed since a snapshot of it was taken, which somebody keeps. That may
// have changed since, as it should.
func (f *family) livesOn(sub store.Subvolume, e Env) (bool, error) {
	for _, heir := range f.all {
		if heir.ParentUUID != sub.UUID || inside(heir.Path, e.Subvolume.Path) {
			continue
		}
		if changed, err := f.r.store.Changed(sub.Path, heir.OTransID); err != nil {
			return false, err
		} else if len(changed) > 0 {
			continue
		}
		if kept, err := f.keeps(heir); err != nil || kept {
			return kept, err
		}
	}
	return false, nil
}

// keeps says whether a snapshot does not go with something else, unasked: what is
// apt-be's own does, and an unchanged copy in an environment that does not run. An
// environment has its copy from its base.
func (f *family) keeps(sub store.Subvolume) (bool, error) {
	if inside(sub.Path, BaseDir) {
		for _, copied := range f.all {
			if copied.ParentUUID != sub.UUID {
				continue
			}
			if kept, err := f.keeps(copied); err != nil || kept {
				return kept, err
			}
		}
		return false, nil
	}
	for _, dir := range []string{ShareSnapshotDir, EnvDir + "/" + newPrefix} {
		if strings.HasPrefix(sub.Path, dir) {
			return false, nil
		}
	}
	i := slices.IndexFunc(f.envs, func(e Env) bool { return inside(sub.Path, e.Subvolume.Path) })
	if i < 0 || f.envs[i].Running {
		return true, nil
	}
	own, err := f.r.isOwn(f.envs[i], sub)
	if err != nil || !own {
		return !own, err
	}
	return f.livesOn(sub, f.envs[i])
}

// inside says whether a path is below a directory that is not the top level.
func inside(path, dir string) bool { return dir != "." && strings.HasPrefix(path, dir+"/") }

// checkNested returns a NestedError if something would be lost with an environment.
func (r *Registry) checkNested(e Env) error {
	only, err := r.UniqueNested(e)
	if err != nil || len(only) == 0 {
		return err
	}
	lost := &NestedError{Name: e.Name}
	for _, sub := range only {
		lost.Paths = append(lost.Paths, strings.TrimPrefix(sub.Path, e.Subvolume.Path))
	}
	return lost
}

// KeepUnique takes from those that are to be destroyed the environments with which more
// would be lost than they are.
func (r *Registry) KeepUnique(fates []PruneDecision) error {
	for i, fate := range fates {
		if !fate.Destroy {
			continue
		}
		err := r.checkNested(fate.Env)
		if lost := (*NestedError)(nil); errors.As(err, &lost) {
			fates[i].Destroy, fates[i].Reason = false, reasonOf(err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkNested notes what of that which is nested in an environment has to stay
// what it is in a copy: something that exists nowhere else.
func (b *Build) checkNested(e Env) error {
	nested, err := b.registry.store.Nested(e.Subvolume.Path)
	if err != nil {
		return err
	}
	for _, sub := range nested {
		own, err := b.registry.isOwn(e, sub)
		if err != nil {
			return err
		}
		place := strings.TrimPrefix(sub.Path, e.Subvolume.Path)
		b.copied = append(b.copied, place)
		if !own {
			b.foreign = append(b.foreign, place)
		}
	}
	return nil
}

// noteNested writes into a record which subvolumes came with the build. All that
// has changed in them has to be written.
func (b *Build) noteNested(record *Record) error {
	nested, err := b.registry.store.Nested(b.Path)
	if err != nil {
		return err
	}
	record.Nested = nil
	for _, sub := range nested {
		if !slices.Contains(b.foreign, strings.TrimPrefix(sub.Path, b.Path)) {
			record.Nested = append(record.Nested, Nested{sub.UUID, sub.Generation})
		}
	}
	return nil
}

// checkCopied returns a NestedError if there is more nested in an environment by
// now than the build has a copy of.
func (b *Build) checkCopied(e Env) error {
	nested, err := b.registry.store.Nested(e.Subvolume.Path)
	if err != nil {
		return err
	}
	var more []string
	for _, sub := range nested {
		place := strings.TrimPrefix(sub.Path, e.Subvolume.Path)
		if slices.Contains(b.copied, place) {
			continue
		}
		if own, err := b.registry.isOwn(e, sub); err != nil {
			return err
		} else if !own {
			more = append(more, place)
		}
	}
	if len(more) > 0 {
		return &NestedError{e.Name, more}
	}
	return nil
}

// keepSwap gives the build the swap files of the environment that it has just
// taken the place of, which is at old: they take no more room then.
func (b *Build) keepSwap(at, old string) {
	for _, inside := range b.emptied {
		// Where it can't be done there is none, as if the disk were too full.
		_ = b.registry.store.Exchange(at+inside, old+inside)
	}
}
