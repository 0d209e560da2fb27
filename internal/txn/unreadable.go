package txn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/regular"
)

// UnreadableError reports that a journal cannot be read or is invalid. The journal, and
// the subvolumes that it names, are left unchanged.
type UnreadableError struct {
	Path string
	Err  error
}

func (e *UnreadableError) Error() string {
	var bounds *BoundsError
	if errors.As(e.Err, &bounds) {
		return fmt.Sprintf("cannot recover with the journal %s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("cannot read the journal %s: %v", e.Path, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Unreadable returns the errors of the journals that Recover could not read. It changes
// nothing.
func (j *Journal) Unreadable() ([]*UnreadableError, error) {
	entries, err := os.ReadDir(j.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	var found []*UnreadableError
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasSuffix(name, ".json") || strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(j.Dir, entry.Name())
		err := j.check(path, strings.TrimSuffix(entry.Name(), ".json"))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // except for transactions that have ended meanwhile
			found = append(found, &UnreadableError{path, regular.Reason(err)})
		}
	}
	return found, nil
}

func (j *Journal) check(path, id string) error {
	f, err := regular.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := checkFile(f, path); err != nil {
		return err
	}
	_, _, _, err = j.parse(f, id)
	return err
}
