// Package durable writes small files so that a power cut leaves either the
// old content or the new one.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Unwritable says whether an error is that of a file system which takes nothing
// more: it is full, a quota is, or it became read-only. What is there can be read,
// and may be removed.
func Unwritable(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO}, func(target error) bool {
		return errors.Is(err, target)
	})
}

// Before, if a test has set it, is asked before each file is written; an error is
// that of the write.
var Before func(path string) error

// temporary begins the names of temporary files.
const temporary = ".tmp-"

// IsTemporary says whether a name is one of WriteFile's temporary files. A
// crash leaves them behind; whoever knows that nobody writes can remove them.
func IsTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// WriteFile replaces the file at path: it writes a temporary file beside it,
// fsyncs that, renames it over path and fsyncs the directory. Once it has
// returned nil the new content outlives a power cut.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := write(path, data, mode, (*os.File).Sync); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteFileLater is WriteFile without any fsync: what a power cut leaves is not
// said before the file system is synced. Other processes see the old content or
// the new one.
func WriteFileLater(path string, data []byte, mode os.FileMode) error {
	return write(path, data, mode, func(*os.File) error { return nil })
}

func write(path string, data []byte, mode os.FileMode, sync func(*os.File) error) (err error) {
	if Before != nil {
		if err := Before(path); err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = sync(f)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Remove removes the file at path durably. A file that isn't there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot sync %s: %w", dir, err)
	}
	return nil
}
