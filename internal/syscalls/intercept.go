package syscalls

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// newer are the calls that appear to be missing, as on an old kernel, so that mount(8)
// uses mount(2) for everything.
var newer = []string{"open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr"}

// Intercept installs the filter for the calling thread and everything that it starts or
// executes afterwards. It returns the descriptor from which Serve must read the
// requests: without a reader, the callers wait. With sockets, the filter also requests
// sockets of IP and of the kernel's routes. See seccomp.InstallListener.
func Intercept(sockets bool) (listener int, err error) {
	listener, err = seccomp.InstallListener(intercepted(sockets))
	if err != nil {
		return 0, fmt.Errorf("cannot intercept mount(2): %w", err)
	}
	return listener, nil
}

func intercepted(sockets bool) []unix.SockFilter {
	rules := []seccomp.Rule{
		{Calls: seccomp.Calls("mount", "umount", "umount2"), Action: unix.SECCOMP_RET_USER_NOTIF},
		{Calls: seccomp.Calls(newer...), Action: seccomp.Errno(unix.ENOSYS)},
		// Deny cannot see the kind of socket.
		{
			Calls:  seccomp.Calls("socketcall"),
			If:     &seccomp.Condition{Arg: 0, Is: []uint32{socketcallSocket}},
			Action: unix.SECCOMP_RET_USER_NOTIF,
		},
	}
	if sockets {
		rules = append(rules, seccomp.Rule{
			Calls:  seccomp.Calls("socket"),
			If:     &seccomp.Condition{Arg: 0, Is: []uint32{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}},
			Action: unix.SECCOMP_RET_USER_NOTIF,
		})
	}
	return seccomp.Program(unix.SECCOMP_RET_ALLOW, rules...)
}

// Debian's C library for i386 creates sockets by socketcall(2), which only i386 has:
// its number, and the first argument for a socket (SYS_SOCKET, linux/net.h).
const (
	socketcallNumber = 102
	socketcallSocket = 1
)
