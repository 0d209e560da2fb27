package softreboot

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/regular"
)

// unreleased are additional flags of the root that waits at /run/nextroot.
const unreleased = unix.MS_NOSUID | unix.MS_NODEV

// Release gives a prepared root its final mount flags. Call it when no user can be
// logged in any more.
func Release() error {
	mounted, err := mountinfo.Mounted(nextRoot)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !mounted {
		return nil
	}
	if err != nil {
		return err
	}
	return release(nextRoot)
}

// ReleaseRoot does the same for the running root, if the machine came to it by a
// soft-reboot without a call of Release.
func ReleaseRoot() error {
	flags, err := rootFlags()
	if err != nil || flags&unreleased == 0 {
		return err
	}
	return release("/")
}

// release gives the mount at dir the flags that Prepare has recorded.
func release(dir string) error {
	text, err := regular.ReadFile(flagsFile, regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	flags, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", flagsFile, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|uintptr(flags), ""); err != nil {
		return fmt.Errorf("cannot change the mount options of %s: %w", dir, err)
	}
	return nil
}

// rootFlags returns the mount flags of the running root, except ro. Other options, such
// as compress, belong to the whole file system.
func rootFlags() (uintptr, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != "/", false })
	if err == nil && len(found) == 0 {
		err = errors.New("it is not in the list of mounts")
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the mount options of the running root: %w", err)
	}
	return flagsOf(found[len(found)-1].Options), nil
}

// flagsOf reads the options of a single mount, see proc_pid_mountinfo(5).
func flagsOf(options string) uintptr {
	var flags uintptr
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "nodev":
			flags |= unix.MS_NODEV
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		case "nosymfollow":
			flags |= unix.MS_NOSYMFOLLOW
		}
	}
	return flags
}
