package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/apt-be/apt-be/internal/frontend"
)

// command returns the file name of a frontend. /usr/bin/aptitude is an update-alternatives
// link, which dpkg-divert cannot divert.
func command(f frontend.Frontend) string {
	if f == frontend.Aptitude {
		return "aptitude-curses"
	}
	return f.String()
}

// RealPath returns the path of a frontend's own program in a root: the diverted name,
// or the plain name in a root without apt-be.
func RealPath(f frontend.Frontend, root string) (string, error) {
	path := filepath.Join("/usr/bin", command(f))
	for _, candidate := range []string{path + frontend.DivertedSuffix, path} {
		target, err := os.Readlink(filepath.Join(root, candidate))
		if err == nil && filepath.Base(target) == "apt-be" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(root, candidate)); err == nil {
			return launcher(f, root, candidate), nil
		}
	}
	return "", fmt.Errorf("cannot run %s: it is not installed", f)
}

// unattendedLauncher runs unattended-upgrade under its own name. unattended-upgrade is
// a script that reads the name by which it runs, so it must not see the diverted name.
const unattendedLauncher = "/usr/lib/apt-be/unattended-upgrade"

// launcher returns the program to run for a frontend's program at path.
func launcher(f frontend.Frontend, root, path string) string {
	if f == frontend.UnattendedUpgrade && filepath.Ext(path) == frontend.DivertedSuffix {
		if _, err := os.Lstat(filepath.Join(root, unattendedLauncher)); err == nil {
			return unattendedLauncher
		}
	}
	return path
}

// Exec replaces this process by the real frontend, with the same descriptors and argv.
func Exec(f frontend.Frontend, argv []string) error {
	path, err := RealPath(f, "/")
	if err != nil {
		return err
	}
	err = syscall.Exec(path, argv, os.Environ())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot run %s: it is not installed", f)
	}
	return fmt.Errorf("cannot run %s: %w", path, err)
}
