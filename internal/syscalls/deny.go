package syscalls

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// refused are the calls that fail with EPERM: no maintainer script needs them. Most
// need a capability that the sandbox lacks. They are refused in case a bug in the
// kernel permits one without it, as happened with its most complex calls.
var refused = []string{
	// A new kernel, and code in this one.
	"kexec_load", "kexec_file_load", "reboot", "init_module", "finit_module", "delete_module",
	"bpf", "perf_event_open", "lookup_dcookie",
	// userfaultfd can stop a system call in the middle, and io_uring does system calls
	// that no filter sees. Databases work without io_uring.
	"userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	// Keys: a user's keyrings are in no namespace.
	"add_key", "request_key", "keyctl",
	// Files by their inodes: all of the file system, including other subvolumes.
	"open_by_handle_at",
	// Resources of the machine that are in no namespace: swap, process accounting,
	// quotas, the clock, the kernel's log, fanotify, device ports, an NFS server.
	"swapon", "swapoff", "acct", "quotactl", "quotactl_fd",
	"settimeofday", "stime", "clock_settime", "clock_settime64",
	"syslog", "fanotify_init", "ioperm", "iopl", "nfsservctl",
	// Other namespaces and roots.
	"setns", "pivot_root",
	// Descriptors and memory of a process in any PID namespace, if a socket identifies
	// it (SO_PEERPIDFD, Linux 6.5).
	"pidfd_getfd", "process_madvise", "process_mrelease",
	// The terminal: a hangup ends the session on it.
	"vhangup",
	// Its structure can contain any policy, see realTime.
	"sched_setattr",
}

// realTime are the policies with which a process can take the processor from others:
// SCHED_FIFO, SCHED_RR and SCHED_DEADLINE, each also with SCHED_RESET_ON_FORK.
var realTime = withReset(1, 2, 6)

func withReset(policies ...uint32) []uint32 {
	all := slices.Clone(policies)
	for _, policy := range policies {
		all = append(all, policy|0x40000000)
	}
	return all
}

// Commands of ioctl(2): two type into a terminal, for its next reader, directly or
// through a console's selection; one sets the line discipline of a terminal, for which
// the kernel loads the module. The kernel takes 32 bits for a command.
const (
	tiocsti   = 0x5412
	tioclinux = 0x541c
	tiocsetd  = 0x5423
)

// destroyByNumber is BTRFS_IOC_SNAP_DESTROY_V2 (linux/btrfs.h). It can name any
// subvolume of the file system, inside or outside of the sandbox. If one mount of the
// file system has the option user_subvol_rm_allowed, it needs no capability. The
// sandbox's own subvolumes can still be deleted by name.
const destroyByNumber = 0x5000943f

// Socket families that are in no network namespace: a virtual machine's host and
// guests, where services of the running system may listen, and a modem's processors.
const (
	afVsock   = 40
	afQipcrtr = 42
)

// Deny refuses calls that no maintainer script needs, for the calling thread and
// everything that it starts or executes afterwards. All calls with numbers of another
// machine fail, except x32, i386 and arm, whose numbers it knows.
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
		// In its own user namespace a process has all capabilities, and reaches kernel
		// code that only root usually reaches.
		seccomp.Rule{
			Calls:  seccomp.Calls("unshare", "clone"),
			If:     &seccomp.Condition{Arg: 0, Mask: unix.CLONE_NEWUSER, Is: []uint32{unix.CLONE_NEWUSER}},
			Action: no,
		},
		// A filter cannot see its flags. C libraries then use clone(2), as on an old
		// kernel.
		seccomp.Rule{Calls: seccomp.Calls("clone3"), Action: seccomp.Errno(unix.ENOSYS)},
		seccomp.Rule{
			Calls:  seccomp.Calls("socket"),
			If:     &seccomp.Condition{Arg: 0, Is: []uint32{afVsock, afQipcrtr}},
			Action: seccomp.Errno(unix.EAFNOSUPPORT),
		},
	)
}
