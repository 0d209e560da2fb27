// Package nosync makes a process tree's calls for durability succeed without
// being carried out, by a seccomp(2) filter. It is for what is written to a
// tree that nobody uses before one syncfs(2) from outside has made it durable.
package nosync

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// Install installs the filter on the calling thread, as seccomp.Install does: fsync,
// fdatasync, sync, syncfs, sync_file_range, and msync with MS_SYNC return 0 at once,
// for it and for all that it starts or executes from then on. It can't be taken back.
//
// Files opened with O_SYNC or O_DSYNC stay synchronous: a filter can't change
// a call's arguments, and to refuse them, as systemd-nspawn does, would fail
// programs that work in place. io_uring's fsync is not a system call. Both cost
// time where they are used, and nothing else.
func Install() error {
	if err := seccomp.Install(program()); err != nil {
		return fmt.Errorf("cannot suppress syncing: %w", err)
	}
	return nil
}

// program returns the filter. Of a set of system call numbers that it doesn't know
// it allows everything.
func program() []unix.SockFilter {
	return seccomp.Program(unix.SECCOMP_RET_ALLOW,
		seccomp.Rule{
			Calls:  seccomp.Calls("fsync", "fdatasync", "sync", "syncfs", "sync_file_range"),
			Action: seccomp.Success,
		},
		// MS_ASYNC does nothing but check addresses, for which some call it.
		seccomp.Rule{
			Calls:  seccomp.Calls("msync"),
			If:     &seccomp.Condition{Arg: 2, Mask: unix.MS_SYNC, Is: []uint32{unix.MS_SYNC}},
			Action: seccomp.Success,
		},
	)
}
