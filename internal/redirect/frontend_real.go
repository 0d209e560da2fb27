package redirect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// divertedSuffix is the suffix that dpkg-divert adds to the name of a frontend that a
// wrapper replaces.
const divertedSuffix = ".distrib"

// command returns the frontend's file name. /usr/bin/aptitude is an update-alternatives
// link, which dpkg-divert cannot divert.
func (f Frontend) command() string {
	if f == Aptitude {
		return "aptitude-curses"
	}
	return f.String()
}

// RealPath returns the path of a frontend's own program in a root: the diverted name,
// or the plain name in a root without apt-be.
func (f Frontend) RealPath(root string) (string, error) {
	path := filepath.Join("/usr/bin", f.command())
	for _, candidate := range []string{path + divertedSuffix, path} {
		target, err := os.Readlink(filepath.Join(root, candidate))
		if err == nil && filepath.Base(target) == "apt-be" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(root, candidate)); err == nil {
			return f.launcher(root, candidate), nil
		}
	}
	return "", fmt.Errorf("cannot run %s: it is not installed", f)
}

// unattendedLauncher runs unattended-upgrade under its own name. unattended-upgrade is
// a script that reads the name by which it runs, so it must not see the diverted name.
const unattendedLauncher = "/usr/lib/apt-be/unattended-upgrade"

// launcher returns the program to run for a frontend's program at path.
func (f Frontend) launcher(root, path string) string {
	if f == UnattendedUpgrade && filepath.Ext(path) == divertedSuffix {
		if _, err := os.Lstat(filepath.Join(root, unattendedLauncher)); err == nil {
			return unattendedLauncher
		}
	}
	return path
}

// Exec replaces this process by the real frontend, with the same descriptors and argv.
func (f Frontend) Exec(argv []string) error {
	path, err := f.RealPath("/")
	if err != nil {
		return err
	}
	err = syscall.Exec(path, argv, os.Environ())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot run %s: it is not installed", f)
	}
	return fmt.Errorf("cannot run %s: %w", path, err)
}
