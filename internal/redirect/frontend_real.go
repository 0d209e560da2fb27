package redirect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// divertedSuffix is what dpkg-divert adds to the name of a frontend that a
// wrapper stands in for.
const divertedSuffix = ".distrib"

// command is the frontend's file name. /usr/bin/aptitude itself is an
// update-alternatives link, which can't be diverted.
func (f Frontend) command() string {
	if f == Aptitude {
		return "aptitude-curses"
	}
	return f.String()
}

// RealPath is where Debian's own program of a frontend lies in a root: under
// its diverted name, or under its own in a root that knows no apt-be.
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

// unattendedLauncher runs unattended-upgrade, which is a script and sees by what
// name it is run, so that it does not see the diverted one.
const unattendedLauncher = "/usr/lib/apt-be/unattended-upgrade"

// launcher is what to run for the program of a frontend that was found at path.
func (f Frontend) launcher(root, path string) string {
	if f == UnattendedUpgrade && filepath.Ext(path) == divertedSuffix {
		if _, err := os.Lstat(filepath.Join(root, unattendedLauncher)); err == nil {
			return unattendedLauncher
		}
	}
	return path
}

// Exec becomes the real frontend: same process, descriptors and argv.
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
