package share

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// usual are Debian's usual directories with data that a rollback should not revert.
var usual = []string{
	"/home", "/srv", "/var/log", "/var/mail", "/var/spool",
	"/var/lib/docker", "/var/lib/libvirt", "/var/lib/machines", "/var/lib/mysql", "/var/lib/postgresql",
}

// Candidates returns the usual directories that contain data in the running environment
// and can become shares.
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

// holdsFiles reports whether a directory of the store contains anything except
// directories.
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
