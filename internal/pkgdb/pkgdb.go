// Package pkgdb reads dpkg's and apt's databases of a root directory, and the kernels
// there. The root may be that of a boot environment that does not run: pkgdb locks
// nothing, executes nothing in it and trusts nothing in it, so no symbolic link leads a
// read out of it.
package pkgdb

import (
	"cmp"
	"fmt"
	"slices"
)

// The state files of dpkg and apt, from the root.
const (
	statusFile   = "var/lib/dpkg/status"
	updatesDir   = "var/lib/dpkg/updates"
	extendedFile = "var/lib/apt/extended_states"
)

// Package is dpkg's and apt's data about one package of one architecture. Want, Flag
// and Status are the three words of dpkg's Status field, see dpkg-query(1).
type Package struct {
	Name    string
	Arch    string
	Version string // "" if not-installed
	Want    string // unknown, install, hold, deinstall or purge
	Flag    string // ok or reinstreq
	Status  string // not-installed, config-files, half-installed, unpacked, half-configured, triggers-awaited, triggers-pending or installed
	Auto    bool   // apt installed it as a dependency

	multiArchSame bool
}

// Present reports whether the root has files of the package other than its
// configuration: it is installed, or partly installed.
func (p Package) Present() bool {
	return p.Status != "not-installed" && p.Status != "config-files"
}

// DB is the package database of one root.
type DB struct {
	// Packages has every package in dpkg's database, by name and architecture,
	// including those that are no longer installed.
	Packages []Package
}

// Read reads the package database of root: dpkg's status, its journal (updates/NNNN,
// the changes of an interrupted dpkg), and apt's marks of automatic installation. The
// error is an [fs.ErrNotExist] if root has no dpkg database.
func Read(root string) (*DB, error) {
	dir, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.close()

	status, err := dir.read(statusFile)
	if err != nil {
		return nil, err
	}
	var records recordSet
	if err := records.load(status); err != nil {
		return nil, fmt.Errorf("cannot read %s in %s: %w", statusFile, root, err)
	}
	names, err := dir.names(updatesDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !isJournalName(name) {
			continue
		}
		file := updatesDir + "/" + name
		update, err := dir.read(file)
		if err != nil {
			return nil, err
		}
		if err := records.override(update); err != nil {
			return nil, fmt.Errorf("cannot read %s in %s: %w", file, root, err)
		}
	}
	extended, err := dir.readIfAny(extendedFile)
	if err != nil {
		return nil, err
	}
	if err := records.markAuto(extended); err != nil {
		return nil, fmt.Errorf("cannot read %s in %s: %w", extendedFile, root, err)
	}
	return &DB{Packages: records.sorted()}, nil
}

// Broken returns the packages that `dpkg --audit` reports because of their state: those
// that must be installed again, and those that are half installed, not configured, or
// have pending triggers.
func (db *DB) Broken() []Package {
	return db.filter(func(p Package) bool {
		return p.Flag != "ok" || p.Present() && p.Status != "installed"
	})
}

// Unfinished returns the packages that dpkg should remove, purge or install, and has
// not. apt sets selections before it runs dpkg, so an interrupted run leaves such
// packages, and dpkg does not notice.
func (db *DB) Unfinished() []Package {
	return db.filter(func(p Package) bool {
		switch p.Want {
		case "deinstall":
			return p.Present()
		case "purge":
			return p.Status != "not-installed"
		case "install":
			return !p.Present()
		}
		return false
	})
}

func (db *DB) filter(keep func(Package) bool) []Package {
	var kept []Package
	for _, p := range db.Packages {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

func byNameAndArch(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch))
}

// isJournalName reports whether dpkg takes a file in updates for a part of its journal:
// its name consists of digits. All names have the same length, so they sort as numbers.
func isJournalName(name string) bool {
	return name != "" && !slices.ContainsFunc([]byte(name), func(c byte) bool { return c < '0' || c > '9' })
}
