package be

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// What steps name that is out of their bounds: see docs/recovery.md for all kinds.
const (
	notOfIt  = "is not of this transaction"
	noPlace  = "is no place of a subvolume"
	noUUID   = "is no UUID"
	noRecord = "is not the subvolume that its record is of"
)

// envPlace and basePlace are where a transaction builds an environment and its base.
func envPlace(id string) string  { return EnvDir + "/" + newPrefix + id }
func basePlace(id string) string { return BaseDir + "/" + newPrefix + id }

// IsUUID says whether a string can be the UUID of a subvolume.
func IsUUID(s string) bool { return uuidPattern.MatchString(s) }

// IsEnvPlace says whether an environment that is whole can be at a path of the
// store: one that has a name, or an original root.
func IsEnvPlace(place string) bool {
	if store.CheckPath(place) != nil {
		return false
	}
	if inside(place, EnvDir) {
		return checkName(EnvDir, place) == nil
	}
	return !slices.ContainsFunc([]string{EnvDir, BaseDir, HomeDir, ShareDir, ShareSnapshotDir, GRUBDir}, func(dir string) bool {
		return place == dir || inside(place, dir)
	})
}

// isNew says whether a place is one of a transaction's, or of garbage.
func isNew(place string) bool { return strings.HasPrefix(path.Base(place), newPrefix) }

func checkSnapshot(id string, a txn.Args) error {
	switch dst := a["dst"]; {
	case dst != envPlace(id) && dst != basePlace(id):
		return txn.OutOfBounds(dst, notOfIt)
	case store.CheckPath(a["src"]) != nil:
		return txn.OutOfBounds(a["src"], noPlace)
	case a["parent"] != "" && !IsUUID(a["parent"]):
		return txn.OutOfBounds(a["parent"], noUUID)
	}
	return a.Only("src", "dst", "parent")
}

// checkRename has what is in a directory, an environment or a base, get a name from
// one that the transaction made or, as by apt-be rename, another name.
func checkRename(dir string) func(id string, a txn.Args) error {
	return func(id string, a txn.Args) error {
		if a["from"] != dir+"/"+newPrefix+id {
			if err := checkName(dir, a["from"]); err != nil {
				return err
			}
		}
		return checkTo(dir, a)
	}
}

// checkExchange has what the transaction made change places with what has a name.
func checkExchange(dir string) func(id string, a txn.Args) error {
	return func(id string, a txn.Args) error {
		if a["from"] != dir+"/"+newPrefix+id {
			return txn.OutOfBounds(a["from"], notOfIt)
		}
		return checkTo(dir, a)
	}
}

func checkTo(dir string, a txn.Args) error {
	if err := checkName(dir, a["to"]); err != nil {
		return err
	}
	switch {
	case a["to"] == a["from"]:
		return txn.OutOfBounds(a["to"], "is where it was")
	case !IsUUID(a["uuid"]):
		return txn.OutOfBounds(a["uuid"], noUUID)
	}
	return a.Only("uuid", "from", "to")
}

// checkName says what is wrong with a place in a directory that has a name, which
// somebody may have given it by hand.
func checkName(dir, place string) error {
	if path.Dir(place) != dir || isNew(place) || store.CheckPath(place) != nil {
		return txn.OutOfBounds(place, notOfIt)
	}
	return nil
}

func checkFiles(id string, a txn.Args) error {
	for _, uuid := range []string{a["from"], a["to"]} {
		if !IsUUID(uuid) {
			return txn.OutOfBounds(uuid, noUUID)
		}
	}
	if a["at"] != envPlace(id) {
		return txn.OutOfBounds(a["at"], notOfIt)
	}
	return a.Only("from", "to", "at")
}

// checkRecord has the record written of what is built, and put back to what is said
// of one that is.
func checkRecord(id string, a txn.Args) error {
	switch {
	case a["at"] != envPlace(id):
		return txn.OutOfBounds(a["at"], notOfIt)
	case !IsUUID(a["uuid"]):
		return txn.OutOfBounds(a["uuid"], noUUID)
	}
	for _, key := range []string{"old", "new"} {
		if a[key] == "" {
			continue
		}
		record, err := parseRecord(a["uuid"], []byte(a[key]))
		if err != nil || key == "old" && record.State != Creating {
			return txn.OutOfBounds(a["uuid"], noRecord)
		}
	}
	return a.Only("uuid", "at", "old", "new")
}

// undoSnapshot deletes what the step made, and nothing else that may be in that
// place by now, such as an environment that it has changed places with.
func (r *Registry) undoSnapshot(a txn.Args) error {
	sub, err := r.store.Get(a["dst"])
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if sub.ParentUUID != a["parent"] {
		return fmt.Errorf("%w: %s is another subvolume than the one that was made there", ErrProtected, sub.Path)
	}
	if err := r.CheckUnused(sub); err != nil {
		return err
	}
	c, err := r.contents()
	if err != nil {
		return err
	}
	// A power cut may have left the record of this very step empty.
	if bad := c.bad[sub.UUID]; bad != nil && (!isNew(sub.Path) || c.newer()) {
		return fmt.Errorf("%w: %s may be a boot environment: %w", ErrProtected, sub.Path, bad)
	}
	for _, record := range c.records {
		if (record.UUID == sub.UUID || record.BaseUUID == sub.UUID) && record.State != Creating {
			return fmt.Errorf("%w: %s belongs to a boot environment that is whole", ErrProtected, sub.Path)
		}
	}
	return r.destroy(sub.Path)
}

// undoRename gives what the step renamed its name back.
func (r *Registry) undoRename(a txn.Args) error { return r.moveBack(a, r.store.Rename) }

// undoExchange has both go back to where they were.
func (r *Registry) undoExchange(a txn.Args) error { return r.moveBack(a, r.store.Exchange) }

// moveBack moves what has the UUID. An environment is moved by the last step of a
// transaction, which no recovery undoes; a base that becomes garbage is that of no
// environment.
func (r *Registry) moveBack(a txn.Args, move func(path, to string) error) error {
	sub, err := r.store.Get(a["to"])
	if gone(err) || err == nil && sub.UUID != a["uuid"] {
		return nil
	}
	if err == nil && path.Dir(sub.Path) == BaseDir && isNew(a["from"]) {
		err = r.checkNoBase(sub)
	}
	if err != nil {
		return err
	}
	return move(a["to"], a["from"])
}

// CheckUnused returns an ErrProtected if a subvolume runs, or is mounted.
func (r *Registry) CheckUnused(sub store.Subvolume) error {
	used, err := r.used(sub)
	if err == nil && used != "" {
		err = fmt.Errorf("%w: %s %s", ErrProtected, sub.Path, used)
	}
	return err
}

// used says in words how a subvolume is in use, "" if it is not.
func (r *Registry) used(sub store.Subvolume) (string, error) {
	running, err := r.store.Locate(r.root)
	if err != nil {
		return "", err
	}
	if running.ID == sub.ID || inside(running.Path, sub.Path) {
		return "is the running system", nil
	}
	if r.Mounted == nil {
		return "", nil
	}
	dirs, err := r.Mounted(sub.Path)
	if err == nil && len(dirs) > 0 {
		return "is mounted at " + dirs[0], nil
	}
	return "", err
}

// checkNoBase returns an ErrProtected if a subvolume is the base of an environment
// that has its name, or in use.
func (r *Registry) checkNoBase(sub store.Subvolume) error {
	if err := r.CheckUnused(sub); err != nil {
		return err
	}
	envs, err := r.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		if e.Record.BaseUUID == sub.UUID {
			return fmt.Errorf("%w: %s is the base of %s", ErrProtected, sub.Path, e.Name)
		}
	}
	return nil
}

// checkBuilt returns an ErrProtected if a subvolume is anywhere else than where it
// was built.
func (r *Registry) checkBuilt(uuid, at string) error {
	if here, err := r.isAt(at, uuid); err != nil || here {
		return err
	}
	found, err := r.found()
	if err != nil {
		return err
	}
	if sub, ok := found[uuid]; ok {
		return fmt.Errorf("%w: %s is not under construction", ErrProtected, sub.Path)
	}
	return nil
}
