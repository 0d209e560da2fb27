package share

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// usual are directories with data that should not go back with a rollback, where
// Debian has them.
var usual = []string{
	"/home", "/srv", "/var/log", "/var/mail", "/var/spool",
	"/var/lib/docker", "/var/lib/libvirt", "/var/lib/machines", "/var/lib/mysql", "/var/lib/postgresql",
}

// Candidates are the usual directories with data that are in the running
// environment, and could be shares.
func (s *Shares) Candidates() ([]string, error) {
	running, err := s.registry.Running()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, dir := range usual {
		if !s.holdsFiles(running.Subvolume.Path + dir) {
			continue
		}
		var refusal *Refusal
		err := s.checkDirectory(running.Subvolume.Path, dir)
		if err == nil {
			found = append(found, dir)
		} else if !errors.As(err, &refusal) {
			return nil, err
		}
	}
	return found, nil
}

// holdsFiles says whether there is anything but directories below one of the store.
func (s *Shares) holdsFiles(dir string) bool {
	found := false
	_ = filepath.WalkDir(s.store.Path(dir), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		found = true
		return fs.SkipAll
	})
	return found
}
