package sandbox

import (
	"errors"
	"math"
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// endOthers is the signal by which the keeper has PID 1 end all processes that are
// left. A script that sends it ends what it could end by itself.
const endOthers = unix.SIGUSR1

// reap is PID 1 of a sandbox. It has been started with one capability that nothing
// else inside has, and makes itself undumpable, for each of which the kernel refuses
// others access to it by ptrace(2) and through /proc (ptrace_may_access,
// kernel/ptrace.c). It closes all descriptors, which tells the keeper that it is ready.
func reap() {
	name, err := unix.BytePtrFromString(Name) // else it is that of a descriptor
	if err == nil {
		err = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
	if err := errors.Join(err, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0), enterDecoy()); err != nil {
		os.Exit(1)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals) // the default of many would end Go's runtime, and with it the sandbox
	if err := unix.CloseRange(0, math.MaxUint32, 0); err != nil {
		os.Exit(1)
	}
	for sig := range signals {
		switch sig {
		case unix.SIGCHLD:
			reapAll(syscall.WNOHANG)
		case endOthers:
			_ = syscall.Kill(-1, unix.SIGTERM)
			reapAll(0)
			os.Exit(0)
		}
	}
}

// reapAll reaps orphans until there is none left, or, with WNOHANG, none that has
// ended.
func reapAll(options int) {
	for {
		pid, err := syscall.Wait4(-1, nil, options, nil)
		if err == syscall.ECHILD || err == nil && pid == 0 {
			return
		}
	}
}
