package be

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// CheckFree returns an ErrExists if a name is taken, or an ErrBadName if it is invalid.
// The answer holds only while the caller holds the Lock.
func (r *Registry) CheckFree(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	taken, err := r.takenNames()
	if err != nil {
		return err
	}
	switch place, ok := taken[name]; {
	case !ok:
		return nil
	case place == "":
		return fmt.Errorf("%w: %s", ErrExists, name)
	default:
		return fmt.Errorf("%w, or its place is occupied: %s", ErrExists, place)
	}
}

// freeName checks the wanted name, or finds a free name that begins with prefix.
func (r *Registry) freeName(wanted, prefix string) (string, error) {
	if wanted != "" {
		return wanted, r.CheckFree(wanted)
	}
	taken, err := r.takenNames()
	if err != nil {
		return "", err
	}
	return prefix + AutoName(time.Now(), func(name string) bool {
		_, ok := taken[prefix+name]
		return ok
	}), nil
}

// takenNames returns the names that a new environment cannot get. The value is "" for
// names of environments, also of those under construction, and otherwise the path that
// occupies the name, such as a base that could not be deleted.
func (r *Registry) takenNames() (map[string]string, error) {
	taken := map[string]string{}
	for _, dir := range []string{EnvDir, BaseDir} {
		entries, err := os.ReadDir(r.store.Path(dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("cannot read the names that are taken: %w", err)
		}
		for _, entry := range entries {
			taken[entry.Name()] = dir + "/" + entry.Name()
		}
	}
	envs, err := r.List()
	if err != nil {
		return nil, err
	}
	for _, e := range envs {
		taken[e.Name] = ""
	}
	records, err := r.records()
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		if record.State == Creating {
			taken[record.TargetName] = ""
		}
	}
	return taken, nil
}
