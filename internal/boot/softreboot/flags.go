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

// unreleased are the flags that a root which waits at /run/nextroot has besides.
const unreleased = unix.MS_NOSUID | unix.MS_NODEV

// Release gives the root that is prepared, if any is, the flags that it is to run
// with. It is for when no user is left on the machine.
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

// ReleaseRoot does what Release does to the root that runs by now, if the machine
// came to it by a soft-reboot before which Release was not called.
func ReleaseRoot() error {
	flags, err := rootFlags()
	if err != nil || flags&unreleased == 0 {
		return err
	}
	return release("/")
}

// release gives what is mounted at dir the flags that Prepare has noted.
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
		return fmt.Errorf("cannot change how %s is mounted: %w", dir, err)
	}
	return nil
}

// rootFlags are the flags that the running root is mounted with, but for ro.
// Other options, such as compress, are the whole file system's.
func rootFlags() (uintptr, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != "/", false })
	if err == nil && len(found) == 0 {
		err = errors.New("it is not in the list of mounts")
	}
	if err != nil {
		return 0, fmt.Errorf("cannot find out how the running root is mounted: %w", err)
	}
	return flagsOf(found[len(found)-1].Options), nil
}

// flagsOf reads the options of a mount itself, see proc_pid_mountinfo(5).
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
