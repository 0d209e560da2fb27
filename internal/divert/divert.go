// Package divert temporarily replaces a file of a root by a link, while packages may
// still install, replace and remove the file. It uses a local diversion, like
// dpkg-divert(1).
//
// A bind mount is not possible: dpkg renames the new version of a file over the old
// one, and rename(2) onto a mount point fails.
package divert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/inroot"
)

// Suffix is appended to the name of the diverted file.
const Suffix = ".apt-be"

// Database is dpkg's list of diversions. Each diversion has three lines: the file, its
// new name, and the package that diverts it, or ":" for the administrator.
const Database = "/var/lib/dpkg/diversions"

// ErrDiverted reports that the file is already diverted, or that its new name is taken.
var ErrDiverted = errors.New("already diverted")

// Diversion is an active diversion.
type Diversion struct {
	root, path, target string
	made               bool // Place created the database
}

// Place diverts path in a root. The file need not exist: packages that install it later
// put it at the new name. If it exists, a link to target replaces it. The error is
// ErrDiverted if another diversion prevents that.
func Place(root, path, target string) (*Diversion, error) {
	d := &Diversion{root: root, path: path, target: target}
	if err := d.place(); err != nil {
		return nil, fmt.Errorf("cannot divert %s: %w", path, err)
	}
	return d, nil
}

func (d *Diversion) place() error {
	old, err := inroot.ReadFile(d.root, Database)
	if d.made = errors.Is(err, fs.ErrNotExist); err != nil && !d.made {
		return err
	}
	if mentions(old, d.path) || mentions(old, d.path+Suffix) {
		return ErrDiverted
	}
	if _, err := inroot.Lstat(d.root, d.path+Suffix); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, ErrDiverted)
	}
	dir, err := inroot.OpenDir(d.root, filepath.Dir(d.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	err = d.rename(dir, d.name(), d.name()+Suffix)
	if err == nil {
		err = unix.Symlinkat(d.target, int(dir.Fd()), d.name())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.edit(func(old []byte) []byte { return append(old, d.lines()...) })
}

// Remove removes a diversion. The file gets its name back, with all changes by
// packages; so does a file that was put at the diverted name in spite of the diversion.
func (d *Diversion) Remove() error {
	if err := d.remove(); err != nil {
		return fmt.Errorf("cannot remove the diversion of %s: %w", d.path, err)
	}
	return nil
}

func (d *Diversion) remove() error {
	if err := d.edit(func(old []byte) []byte { return without(old, d.lines()) }); err != nil {
		return err
	}
	// dpkg has saved the old list before changing it.
	err := inroot.Edit(d.root, Database+"-old", func(old []byte) ([]byte, bool, error) {
		data := without(slices.Clone(old), d.lines())
		return data, len(data) != len(old), nil
	})
	if err != nil {
		return err
	}
	dir, err := inroot.OpenDir(d.root, filepath.Dir(d.path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	there, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), d.name()))
	switch {
	case err == nil && there == d.target:
		if err := unix.Unlinkat(int(dir.Fd()), d.name(), 0); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		err := unix.Unlinkat(int(dir.Fd()), d.name()+Suffix, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err = d.rename(dir, d.name()+Suffix, d.name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *Diversion) name() string { return filepath.Base(d.path) }

func (d *Diversion) lines() string { return d.path + "\n" + d.path + Suffix + "\n:\n" }

func (d *Diversion) rename(dir *os.File, from, to string) error {
	return unix.Renameat(int(dir.Fd()), from, int(dir.Fd()), to)
}

// edit changes the database, and deletes it if it did not exist before.
func (d *Diversion) edit(change func(old []byte) []byte) error {
	edit := inroot.Edit
	if d.made {
		edit = inroot.EditOrMake
	}
	return edit(d.root, Database, func(old []byte) ([]byte, bool, error) {
		data := change(slices.Clone(old))
		return data, string(data) != string(old), nil
	})
}

// mentions reports whether a database diverts a file, or diverts another file to its
// name.
func mentions(database []byte, path string) bool {
	lines := strings.Split(string(database), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if lines[i] == path || lines[i+1] == path {
			return true
		}
	}
	return false
}

// without returns a database without a diversion, given by its lines.
func without(database []byte, diversion string) []byte {
	lines := strings.SplitAfter(string(database), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if strings.Join(lines[i:i+3], "") == diversion {
			return []byte(strings.Join(slices.Delete(lines, i, i+3), ""))
		}
	}
	return database
}
