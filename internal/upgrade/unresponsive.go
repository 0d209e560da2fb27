package upgrade

import (
	"fmt"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// UnresponsiveError reports that an upgrade needs a mount that does not respond.
type UnresponsiveError struct {
	sandbox.UnresponsiveMount
	File string // a package's file on the mount
}

// Error implements error.
func (e *UnresponsiveError) Error() string {
	return fmt.Sprintf("cannot upgrade: %s does not respond, and packages have files on it (%s)", inside.Describe(e.UnresponsiveMount), e.File)
}

// Hint returns a remedy.
func (e *UnresponsiveError) Hint() string {
	return fmt.Sprintf("restart its server, or unmount it: umount --lazy %s", e.Dir)
}

// findMounts finds the other file systems of the running system, before other processes
// wait for a lock. It leaves out mounts that do not respond, unless packages have files
// on them.
func (u *Upgrader) findMounts() error {
	silent, err := u.Launcher.Look()
	if err != nil || len(silent) == 0 {
		return err
	}
	for _, mount := range silent {
		files, err := pkgdb.FilesBelow(u.Root, []string{filepath.Clean(mount.Dir)}, nil)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			return &UnresponsiveError{mount, files[0].Path}
		}
	}
	u.Launcher.TellUnresponsive(silent)
	return nil
}
