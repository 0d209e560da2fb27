package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that reach the running system through the
// kernel that both share. Maintainer scripts do without them in every
// container, which has fewer still.
var dropped = []uintptr{
	unix.CAP_AUDIT_CONTROL,      // its audit rules
	unix.CAP_BPF,                // its kernel
	unix.CAP_BLOCK_SUSPEND,      // its power state
	unix.CAP_CHECKPOINT_RESTORE, // its processes
	unix.CAP_DAC_READ_SEARCH,    // its files: open_by_handle_at(2) reaches all of the file system
	unix.CAP_MAC_ADMIN,          // its AppArmor profiles
	unix.CAP_MAC_OVERRIDE,
	unix.CAP_MKNOD,     // its disks
	unix.CAP_NET_ADMIN, // its interfaces, routes and firewall
	unix.CAP_PERFMON,
	unix.CAP_SYS_ADMIN, // its mounts: a second devtmpfs holds every disk, a second sysfs is writable
	unix.CAP_SYSLOG,    // its kernel log
	unix.CAP_SYS_BOOT,
	unix.CAP_SYS_MODULE,
	unix.CAP_SYS_PACCT,
	unix.CAP_SYS_PTRACE,
	unix.CAP_SYS_RAWIO,
	unix.CAP_SYS_TIME,
	unix.CAP_WAKE_ALARM,
}

// dropCapabilities takes them out of the calling thread's bounding set: what
// it executes can't get them, not even as root.
func dropCapabilities() error {
	for _, capability := range dropped {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		// EINVAL: an older kernel doesn't know this one, so it doesn't give it either.
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot drop a capability: %w", err)
		}
	}
	return nil
}
