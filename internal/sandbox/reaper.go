package sandbox

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// endOthers is the signal by which the keeper makes PID 1 end all remaining processes.
// A script that sends it could also end these processes itself.
const endOthers = unix.SIGUSR1

// reap runs PID 1 of a sandbox. It starts with a capability that no other process
// inside has, and makes itself undumpable. For each of the two reasons the kernel
// refuses others access to it by ptrace(2) and through /proc (ptrace_may_access,
// kernel/ptrace.c). It closes all descriptors, which tells the keeper that it is ready.
func reap() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals) // the default action of many signals would end Go's runtime, and so the sandbox
	if err := empty(); err != nil {
		_, _ = os.NewFile(toKeeperFD, "keeper").WriteString(err.Error())
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

// empty removes every descriptor, name and memory access that another process could
// use.
func empty() error {
	name, err := unix.BytePtrFromString(Name) // otherwise the name is that of a descriptor
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if err := enterDecoy(); err != nil {
		return err
	}
	// The remaining descriptors only wake Go's runtime.
	return os.NewSyscallError("close_range", unix.CloseRange(0, decoyFD, 0))
}

// reapAll reaps orphans until there are none, or, with WNOHANG, none that has ended.
func reapAll(options int) {
	for {
		pid, err := syscall.Wait4(-1, nil, options, nil)
		if err == syscall.ECHILD || err == nil && pid == 0 {
			return
		}
	}
}
