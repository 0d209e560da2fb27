package sandbox

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that reach the running system through the shared kernel.
// Maintainer scripts work without them in containers, which have even fewer.
var dropped = []uintptr{
	unix.CAP_AUDIT_CONTROL, // its audit rules
	unix.CAP_AUDIT_READ,
	unix.CAP_BPF,                // its kernel
	unix.CAP_BLOCK_SUSPEND,      // its power state
	unix.CAP_CHECKPOINT_RESTORE, // its processes
	unix.CAP_DAC_READ_SEARCH,    // its files: open_by_handle_at(2) opens every file of the file system
	unix.CAP_IPC_LOCK,           // its memory
	unix.CAP_MAC_ADMIN,          // its AppArmor profiles
	unix.CAP_MAC_OVERRIDE,
	unix.CAP_MKNOD,     // its disks
	unix.CAP_NET_ADMIN, // its interfaces, routes and firewall
	unix.CAP_NET_RAW,   // its network: packets in the name of others
	unix.CAP_PERFMON,
	unix.CAP_SYS_ADMIN, // its mounts: a second devtmpfs contains every disk, a second sysfs is writable
	unix.CAP_SYSLOG,    // its kernel log
	unix.CAP_SYS_BOOT,
	unix.CAP_SYS_MODULE,
	unix.CAP_SYS_NICE, // its processors: SCHED_FIFO
	unix.CAP_SYS_PACCT,
	unix.CAP_SYS_PTRACE, // PID 1
	unix.CAP_SYS_RAWIO,
	unix.CAP_SYS_RESOURCE, // its memory: a negative oom_score_adj; limits that the caller set
	unix.CAP_SYS_TIME,
	unix.CAP_SYS_TTY_CONFIG, // its terminals: vhangup(2)
	unix.CAP_WAKE_ALARM,
}

// commandHas reports whether the command in a sandbox has a capability.
func commandHas(capability uintptr) bool { return !slices.Contains(dropped, capability) }

// reaperHas reports whether PID 1 has a capability. Scripts lack CAP_WAKE_ALARM, and
// PID 1 does not use it: because of it the kernel refuses every script to trace PID 1
// (cap_ptrace_access_check, security/commoncap.c). CAP_SYS_CHROOT lets PID 1 make the
// decoy its root.
func reaperHas(capability uintptr) bool {
	return capability == unix.CAP_WAKE_ALARM || capability == unix.CAP_SYS_CHROOT
}

// capabilities is the highest number of capabilities that the kernel can have
// (capabilities(7)).
const capabilities = 64

// limitCapabilities removes all capabilities except the kept ones from the programs
// that the calling thread executes, even those of root.
func limitCapabilities(keep func(capability uintptr) bool) error {
	for capability := range uintptr(capabilities) {
		if keep(capability) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		// EINVAL: this kernel does not know the capability, so no process has it.
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot drop a capability: %w", err)
		}
	}
	return inheritNone()
}

// inheritNone empties the two sets that execve(2) adds to the permitted set.
func inheritNone() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	if err == nil {
		data[0].Inheritable, data[1].Inheritable = 0, 0
		err = unix.Capset(&header, &data[0]) // this removes them from the ambient set, too
	}
	if err != nil {
		return fmt.Errorf("cannot drop inheritable capabilities: %w", err)
	}
	return nil
}
