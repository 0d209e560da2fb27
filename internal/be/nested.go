package be

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
)

// Nested records a nested subvolume that an environment had when it was committed: a
// copy of the origin's, or one that the upgrade made.
type Nested struct {
	UUID       string `json:"uuid"`
	Generation uint64 `json:"generation"` // the generation at that time
}

// NestedError reports that subvolumes nested in an environment exist nowhere else.
type NestedError struct {
	Name  string   // the name of the environment
	Paths []string // paths in the environment, with a leading slash
}

// Error implements error.
func (e *NestedError) Error() string {
	what := "the subvolume %s in it exists nowhere else"
	if len(e.Paths) > 1 {
		what = "subvolumes in it exist nowhere else: %s"
	}
	return fmt.Sprintf("%v: "+what, ErrProtected, strings.Join(e.Paths, ", "))
}

// Is reports that the error is of kind ErrProtected.
func (e *NestedError) Is(target error) bool { return target == ErrProtected }

// UniqueNested returns the subvolumes nested in an environment that exist nowhere else.
// It skips those that are unchanged since the environment was committed, those that
// contain only swap files, and those of which a current snapshot exists elsewhere. It
// writes all data of the file system to disk first. The caller holds the Lock.
func (r *Registry) UniqueNested(e Env) ([]store.Subvolume, error) {
	only, err := r.uniqueNested(e)
	if err != nil {
		return nil, fmt.Errorf("cannot find the subvolumes that exist only in %s: %w", e.Name, err)
	}
	return only, nil
}

func (r *Registry) uniqueNested(e Env) ([]store.Subvolume, error) {
	if e.Subvolume.Path == "." { // all other subvolumes are nested in it
		return nil, nil
	}
	nested, err := r.store.Nested(e.Subvolume.Path)
	if err != nil || len(nested) == 0 {
		return nil, err
	}
	if err := r.store.Sync(); err != nil { // changes count only after they were written
		return nil, err
	}
	var only []store.Subvolume
	var index *subvolumeIndex
	for _, sub := range nested {
		cheap, err := r.isOwn(e, sub)
		if err != nil {
			return nil, err
		}
		if cheap {
			continue
		}
		if index == nil {
			if index, err = r.subvolumeIndex(); err != nil {
				return nil, err
			}
		}
		copied, err := index.hasCurrentSnapshot(sub, e)
		if err != nil {
			return nil, err
		}
		if !copied {
			only = append(only, sub)
		}
	}
	return only, nil
}

// isOwn reports whether a nested subvolume may be deleted with its environment: a part
// of its root, one that is unchanged since the commit, or one that contains only swap
// files.
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

// subvolumeIndex contains all subvolumes and environments of the file system.
type subvolumeIndex struct {
	r    *Registry
	envs []Env
	all  []store.Subvolume
}

func (r *Registry) subvolumeIndex() (*subvolumeIndex, error) {
	envs, err := r.List()
	if err != nil {
		return nil, err
	}
	all, err := r.store.Nested(".")
	return &subvolumeIndex{r, envs, all}, err
}

// hasCurrentSnapshot reports whether a current snapshot of a nested subvolume exists that is kept
// independently. The snapshot itself may have changed since.
func (x *subvolumeIndex) hasCurrentSnapshot(sub store.Subvolume, e Env) (bool, error) {
	for _, snapshot := range x.all {
		if snapshot.ParentUUID != sub.UUID || inside(snapshot.Path, e.Subvolume.Path) {
			continue
		}
		if changed, err := x.r.store.Changed(sub.Path, snapshot.OTransID); err != nil {
			return false, err
		} else if len(changed) > 0 {
			continue
		}
		if kept, err := x.isIndependent(snapshot); err != nil || kept {
			return kept, err
		}
	}
	return false, nil
}

// isIndependent reports whether a snapshot is kept independently of apt-be's garbage
// collection. apt-be's own subvolumes are not independent. A copy in an environment
// that does not run is independent only if it has changed. A base is independent if one
// of the copies made from it is.
func (x *subvolumeIndex) isIndependent(sub store.Subvolume) (bool, error) {
	if inside(sub.Path, BaseDir) {
		for _, copied := range x.all {
			if copied.ParentUUID != sub.UUID {
				continue
			}
			if kept, err := x.isIndependent(copied); err != nil || kept {
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
	i := slices.IndexFunc(x.envs, func(e Env) bool { return inside(sub.Path, e.Subvolume.Path) })
	if i < 0 || x.envs[i].Running {
		return true, nil
	}
	own, err := x.r.isOwn(x.envs[i], sub)
	if err != nil || !own {
		return !own, err
	}
	return x.hasCurrentSnapshot(sub, x.envs[i])
}

// inside reports whether a path is below dir, unless dir is the top level.
func inside(path, dir string) bool { return dir != "." && strings.HasPrefix(path, dir+"/") }

// checkNested returns a NestedError if destroying an environment would delete a unique
// subvolume.
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

// KeepUnique changes the decision to keep for environments that contain unique
// subvolumes. The caller holds the Lock. It fails if the nested subvolumes of an
// environment cannot be examined.
func (r *Registry) KeepUnique(decisions []PruneDecision) error {
	for i, decision := range decisions {
		if !decision.Destroy {
			continue
		}
		err := r.checkNested(decision.Env)
		if lost := (*NestedError)(nil); errors.As(err, &lost) {
			decisions[i].Destroy, decisions[i].Reason = false, reasonOf(err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkNested records which of an environment's nested subvolumes are unique, so that a
// copy must preserve them.
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

// noteNested writes the build's nested subvolumes to a record. All changes in them must
// have been written to disk.
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

// checkCopied returns a NestedError if an environment now has nested subvolumes that
// the build has not copied.
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

// keepSwap moves the swap files of the replaced environment, which is at old, to the
// build, so that they take no additional space.
func (b *Build) keepSwap(at, old string) {
	for _, inside := range b.emptied {
		// On failure the build has no swap file, as on a full disk.
		_ = b.registry.store.Exchange(at+inside, old+inside)
	}
}
