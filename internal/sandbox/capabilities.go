package sandbox

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that reach the running system through the
// kernel that both share. Maintainer scripts do without them in every
// container, which has fewer still.
var dropped = []uintptr{
	unix.CAP_AUDIT_CONTROL, // its audit rules
	unix.CAP_AUDIT_READ,
	unix.CAP_BPF,                // its kernel
	unix.CAP_BLOCK_SUSPEND,      // its power state
	unix.CAP_CHECKPOINT_RESTORE, // its processes
	unix.CAP_DAC_READ_SEARCH,    // its files: open_by_handle_at(2) reaches all of the file system
	unix.CAP_IPC_LOCK,           // its memory
	unix.CAP_MAC_ADMIN,          // its AppArmor profiles
	unix.CAP_MAC_OVERRIDE,
	unix.CAP_MKNOD,     // its disks
	unix.CAP_NET_ADMIN, // its interfaces, routes and firewall
	unix.CAP_NET_RAW,   // its network: packets in the name of others
	unix.CAP_PERFMON,
	unix.CAP_SYS_ADMIN, // its mounts: a second devtmpfs holds every disk, a second sysfs is writable
	unix.CAP_SYSLOG,    // its kernel log
	unix.CAP_SYS_BOOT,
	unix.CAP_SYS_MODULE,
	unix.CAP_SYS_NICE, // its processors: SCHED_FIFO
	unix.CAP_SYS_PACCT,
	unix.CAP_SYS_PTRACE, // PID 1
	unix.CAP_SYS_RAWIO,
	unix.CAP_SYS_RESOURCE, // its memory: a negative oom_score_adj; limits that the caller has set
	unix.CAP_SYS_TIME,
	unix.CAP_SYS_TTY_CONFIG, // its terminals: vhangup(2)
	unix.CAP_WAKE_ALARM,
}

// commandHas says whether the command in a sandbox has a capability.
func commandHas(capability uintptr) bool { return !slices.Contains(dropped, capability) }

// reaperHas says whether PID 1 has a capability. One, which is of no use to it, the
// scripts lack: so the kernel lets none of them trace it (cap_ptrace_access_check,
// security/commoncap.c). By the other it makes the decoy its root.
func reaperHas(capability uintptr) bool {
	return capability == unix.CAP_WAKE_ALARM || capability == unix.CAP_SYS_CHROOT
}

// capabilities are as many as the kernel could ever know (capabilities(7)).
const capabilities = 64

// limitCapabilities has what the calling thread executes from then on get no
// capabilities but some, not even as root.
func limitCapabilities(keep func(capability uintptr) bool) error {
	for capability := range uintptr(capabilities) {
		if keep(capability) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		// EINVAL: this kernel doesn't know it, so it doesn't give it either.
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot drop a capability: %w", err)
		}
	}
	return inheritNone()
}

// inheritNone empties the two sets that execve(2) adds to what is allowed.
func inheritNone() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	if err == nil {
		data[0].Inheritable, data[1].Inheritable = 0, 0
		err = unix.Capset(&header, &data[0]) // which takes them out of the ambient set, too
	}
	if err != nil {
		return fmt.Errorf("cannot drop inheritable capabilities: %w", err)
	}
	return nil
}
