// Package durable writes small files so that a power cut leaves either the old or the
// new content.
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

// Unwritable reports whether an error means that the file system accepts no more
// writes: it is full, over a quota, or read-only. Files can still be read, and possibly
// removed.
func Unwritable(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO}, func(target error) bool {
		return errors.Is(err, target)
	})
}

// Before is a hook for tests. If set, it is called before each write, and its error
// becomes the error of the write.
var Before func(path string) error

// temporary is the prefix of temporary files.
const temporary = ".tmp-"

// IsTemporary reports whether a name is that of a temporary file of WriteFile. A crash
// leaves such files; they can be removed while no process writes.
func IsTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// WriteFile replaces the file at path: it writes and fsyncs a temporary file, renames
// it to path, and fsyncs the directory. After it has returned nil, the new content
// survives a power cut.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := write(path, data, mode, (*os.File).Sync); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteFileLater is WriteFile without fsync. Other processes see either the old or the
// new content. After a power cut before the next sync, the content is undefined.
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

// Remove removes the file at path durably. It returns nil if the file does not exist.
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
