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

// Reasons why the arguments of a step are out of bounds. docs/recovery.md has the
// bounds of all kinds of steps.
const (
	notOfIt  = "is not of this transaction"
	noPlace  = "is no place of a subvolume"
	noUUID   = "is not a UUID"
	noRecord = "is not the subvolume that its record is of"
)

// envPlace and basePlace are the paths at which a transaction builds an environment and
// its base.
func envPlace(id string) string  { return EnvDir + "/" + newPrefix + id }
func basePlace(id string) string { return BaseDir + "/" + newPrefix + id }

// IsUUID reports whether a string has the form of a subvolume's UUID.
func IsUUID(s string) bool { return uuidPattern.MatchString(s) }

// IsEnvPlace reports whether a path of the store can be the place of a complete
// environment: a named one, or an original root.
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

// isNew reports whether a place belongs to a transaction or to garbage.
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

// checkRename allows a rename in dir, from a place of the transaction or from another
// name, to a name.
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

// checkExchange allows an exchange of a place of the transaction with a named place.
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

// checkName fails if a place in dir has no valid name. A user may have created the name
// by hand.
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

// checkRecord allows writing the record of the environment under construction, and
// restoring its earlier content.
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

// undoSnapshot deletes the subvolume that the step made. It deletes nothing else that
// may be at that place now, such as an environment that was exchanged with it.
func (r *Registry) undoSnapshot(a txn.Args) error {
	sub, err := r.store.Get(a["dst"])
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if sub.ParentUUID != a["parent"] {
		return fmt.Errorf("%w: %s is not the subvolume that was created there", ErrProtected, sub.Path)
	}
	if err := r.CheckUnused(sub); err != nil {
		return err
	}
	c, err := r.contents()
	if err != nil {
		return err
	}
	// A power cut may have left the record of this step empty.
	if bad := c.bad[sub.UUID]; bad != nil && (!isNew(sub.Path) || c.newer()) {
		return fmt.Errorf("%w: %s may be a boot environment: %w", ErrProtected, sub.Path, bad)
	}
	for _, record := range c.records {
		if (record.UUID == sub.UUID || record.BaseUUID == sub.UUID) && record.State != Creating {
			return fmt.Errorf("%w: %s belongs to a complete boot environment", ErrProtected, sub.Path)
		}
	}
	return r.destroy(sub.Path)
}

// undoRename moves the subvolume of the step back.
func (r *Registry) undoRename(a txn.Args) error { return r.moveBack(a, r.store.Rename) }

// undoExchange moves both subvolumes back.
func (r *Registry) undoExchange(a txn.Args) error { return r.moveBack(a, r.store.Exchange) }

// moveBack moves the subvolume with the UUID back. Recovery never undoes the move of an
// environment, because that is the last step of a transaction. A base may only become
// garbage if no environment uses it.
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

// CheckUnused returns an ErrProtected if a subvolume is mounted or belongs to the
// running system. The caller holds the Lock, so that no apt-be mounts the subvolume.
func (r *Registry) CheckUnused(sub store.Subvolume) error {
	used, err := r.used(sub)
	if err == nil && used != "" {
		err = fmt.Errorf("%w: %s %s", ErrProtected, sub.Path, used)
	}
	return err
}

// used describes how a subvolume is in use; "" if it is not.
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

// checkNoBase returns an ErrProtected if a subvolume is in use, or is the base of the
// environment with the same name.
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

// checkBuilt returns an ErrProtected if a subvolume is not at the place where it was
// built.
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
