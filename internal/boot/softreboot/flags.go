package softreboot

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

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
