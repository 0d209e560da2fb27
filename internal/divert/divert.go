// Package divert puts a link in the place of a file of a root that is worked
// on, for a while, so that packages can go on to bring, replace and remove that
// file: by a local diversion, as dpkg-divert(1) makes them.
//
// A bind mount would not do: dpkg renames the new version of a file over the
// old one, and rename(2) onto a mount point fails.
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

// Suffix is what the name of the file gets meanwhile.
const Suffix = ".apt-be"

// Database is dpkg's list of diversions. Each is three lines: the file, where
// it is instead, and the package that wants it so, or ":" for the administrator.
const Database = "/var/lib/dpkg/diversions"

// ErrDiverted says that somebody else diverts the file, or that there is one
// by the name that it would get.
var ErrDiverted = errors.New("it is diverted already")

// Diversion is one that was placed.
type Diversion struct {
	root, path, target string
	made               bool // the database, which was not there
}

// Place diverts path in a root, which may be there or not: what packages bring
// under that name lies beside it. If it is there, a link to target takes its
// place. The error is ErrDiverted where that can't be had.
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

// Remove takes a diversion back. What packages have made of the file meanwhile
// has its name then; so has what somebody put there in spite of the diversion.
func (d *Diversion) Remove() error {
	if err := d.remove(); err != nil {
		return fmt.Errorf("cannot take back the diversion of %s: %w", d.path, err)
	}
	return nil
}

func (d *Diversion) remove() error {
	if err := d.edit(func(old []byte) []byte { return without(old, d.lines()) }); err != nil {
		return err
	}
	// dpkg has kept the list as it was before it changed that.
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

// edit changes the database, and leaves none where there was none.
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

// mentions says whether a database has a file for diverted, or for where
// another is diverted to.
func mentions(database []byte, path string) bool {
	lines := strings.Split(string(database), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if lines[i] == path || lines[i+1] == path {
			return true
		}
	}
	return false
}

// without is a database without one diversion, whose lines are given.
func without(database []byte, diversion string) []byte {
	lines := strings.SplitAfter(string(database), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if strings.Join(lines[i:i+3], "") == diversion {
			return []byte(strings.Join(slices.Delete(lines, i, i+3), ""))
		}
	}
	return database
}
