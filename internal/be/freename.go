package be

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// CheckFree returns an ErrExists if an environment can't get a name because
// it is taken, or an ErrBadName.
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
		return fmt.Errorf("%w, or something else in its place: %s", ErrExists, place)
	}
}

// freeName checks the name that was asked for, or finds one that begins with
// prefix.
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

// takenNames returns the names that are no use to a new environment: those of
// environments, also of those under construction, with "", and those of which
// a place is taken, such as by a base that could not be deleted, with that.
func (r *Registry) takenNames() (map[string]string, error) {
	taken := map[string]string{}
	for _, dir := range []string{EnvDir, BaseDir} {
		entries, err := os.ReadDir(r.store.Path(dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("cannot read which names are taken: %w", err)
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
