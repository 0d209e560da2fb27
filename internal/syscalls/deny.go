package syscalls

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// refused are the calls that fail with EPERM: no maintainer script needs them. Most
// need a capability that the sandbox has not; they are here in case that one of them
// has a way around it, as the kernel's most complicated calls have had.
var refused = []string{
	// Another kernel, and code in this one.
	"kexec_load", "kexec_file_load", "reboot", "init_module", "finit_module", "delete_module",
	"bpf", "perf_event_open", "lookup_dcookie",
	// How faults are held up in the midst of a system call, and system calls that no
	// filter sees. Databases do without where they are refused.
	"userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	// Keys: the keyrings of a user are not in any namespace.
	"add_key", "request_key", "keyctl",
	// Files by their inodes: any of the file system, also outside of the subvolume.
	"open_by_handle_at",
	// What is the machine's and in no namespace: swap, process accounting, quotas, the
	// clock, the kernel's log, the watch over all that is opened, ports of devices, an
	// NFS server.
	"swapon", "swapoff", "acct", "quotactl", "quotactl_fd",
	"settimeofday", "stime", "clock_settime", "clock_settime64",
	"syslog", "fanotify_init", "ioperm", "iopl", "nfsservctl",
	// Other namespaces and roots.
	"setns", "pivot_root",
	// Descriptors and memory of a process that is known by a socket alone, from whatever
	// PID namespace (SO_PEERPIDFD, Linux 6.5).
	"pidfd_getfd", "process_madvise", "process_mrelease",
	// The terminal: a hangup ends the session of whoever has it.
	"vhangup",
	// Its structure may hold any policy, see realTime.
	"sched_setattr",
}

// realTime are the policies with which a process can keep others from the processor:
// SCHED_FIFO, SCHED_RR and SCHED_DEADLINE, each also with SCHED_RESET_ON_FORK.
var realTime = withReset(1, 2, 6)

func withReset(policies ...uint32) []uint32 {
	all := slices.Clone(policies)
	for _, policy := range policies {
		all = append(all, policy|0x40000000)
	}
	return all
}

// Commands of ioctl(2) that type into a terminal, for whoever reads from it next, and
// that do so by way of a console's selection; and the one that gives a terminal another
// line discipline, for which the kernel loads the module that has it. The kernel takes
// 32 bits for a command.
const (
	tiocsti   = 0x5412
	tioclinux = 0x541c
	tiocsetd  = 0x5423
)

// destroyByNumber is BTRFS_IOC_SNAP_DESTROY_V2 (linux/btrfs.h), by which any subvolume
// of the file system can be named, in the sandbox or not. Where one mount of it has the
// option user_subvol_rm_allowed, it takes no capability. By their names, subvolumes of
// the sandbox's own can be deleted.
const destroyByNumber = 0x5000943f

// Families of sockets that are in no network namespace: the virtual machine's host and
// guests, where services of the running system may listen, and the modem's processors.
const (
	afVsock   = 40
	afQipcrtr = 42
)

// Deny has calls fail that no maintainer script needs, for the calling thread and all
// that it starts or executes from then on. Calls by numbers of another machine all
// fail, but for x32, i386 and arm, of which it knows the numbers.
func Deny() error {
	if err := seccomp.Install(denied()); err != nil {
		return fmt.Errorf("cannot keep packages' scripts from what is the kernel's: %w", err)
	}
	return nil
}

func denied() []unix.SockFilter {
	no := seccomp.Errno(unix.EPERM)
	return seccomp.Program(no,
		seccomp.Rule{Calls: seccomp.Calls(refused...), Action: no},
		seccomp.Rule{
			Calls:  seccomp.Calls("ioctl"),
			If:     &seccomp.Condition{Arg: 1, Is: []uint32{tiocsti, tioclinux, tiocsetd, destroyByNumber}},
			Action: no,
		},
		seccomp.Rule{
			Calls:  seccomp.Calls("sched_setscheduler"),
			If:     &seccomp.Condition{Arg: 1, Is: realTime},
			Action: no,
		},
		// In a user namespace of its own a process has all capabilities, and the kernel
		// is open to it where only root is expected.
		seccomp.Rule{
			Calls:  seccomp.Calls("unshare", "clone"),
			If:     &seccomp.Condition{Arg: 0, Mask: unix.CLONE_NEWUSER, Is: []uint32{unix.CLONE_NEWUSER}},
			Action: no,
		},
		// A filter can't see its flags. C libraries do without, as on an old kernel.
		seccomp.Rule{Calls: seccomp.Calls("clone3"), Action: seccomp.Errno(unix.ENOSYS)},
		seccomp.Rule{
			Calls:  seccomp.Calls("socket"),
			If:     &seccomp.Condition{Arg: 0, Is: []uint32{afVsock, afQipcrtr}},
			Action: seccomp.Errno(unix.EAFNOSUPPORT),
		},
	)
}
