// Package nosync suppresses the sync calls of a process tree by a seccomp(2) filter. It
// is used for writes to a tree that no process uses before one syncfs(2) from outside
// has made it durable.
package nosync

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// Install installs the filter on the calling thread, as seccomp.Install does. In this
// thread and all its children, fsync, fdatasync, sync, syncfs, sync_file_range, and
// msync with MS_SYNC return 0 immediately. The filter cannot be removed.
//
// Files opened with O_SYNC or O_DSYNC stay synchronous: a filter cannot change the
// arguments of a call, and refusing them, as systemd-nspawn does, would break programs.
// io_uring's fsync is not a system call. Both only cost time.
func Install() error {
	if err := seccomp.Install(program()); err != nil {
		return fmt.Errorf("cannot suppress syncing: %w", err)
	}
	return nil
}

// program returns the filter. It allows every call of an unknown set of system call
// numbers.
func program() []unix.SockFilter {
	return seccomp.Program(unix.SECCOMP_RET_ALLOW,
		seccomp.Rule{
			Calls:  seccomp.Calls("fsync", "fdatasync", "sync", "syncfs", "sync_file_range"),
			Action: seccomp.Success,
		},
		// MS_ASYNC only checks addresses, and some programs call it for that.
		seccomp.Rule{
			Calls:  seccomp.Calls("msync"),
			If:     &seccomp.Condition{Arg: 2, Mask: unix.MS_SYNC, Is: []uint32{unix.MS_SYNC}},
			Action: seccomp.Success,
		},
	)
}
