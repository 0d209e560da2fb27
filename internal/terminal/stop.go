package terminal

import (
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stop stops this process, and, for a signal that a terminal may have sent, the rest of
// its process group. It returns when this process continues. It does nothing in an
// orphaned process group.
func stop(sig syscall.Signal) {
	// Any thread may handle a signal to a process, so kill can return before the stop,
	// and the caller could not tell whether the stop is still to come. A thread handles
	// a signal to itself before the call returns. So this process excludes itself from
	// the signal to the group.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := setAction(unix.SIGTSTP, nil)
	if before.isIgnore() { // the other processes may ignore it, too
		if sig != unix.SIGSTOP {
			_ = unix.Kill(0, unix.SIGTSTP)
		}
		return
	}
	if sig != unix.SIGSTOP {
		setAction(unix.SIGTSTP, ignore())
		_ = unix.Kill(0, unix.SIGTSTP)
		// The signal stays pending if the main thread blocks it, as a thread does that
		// Go no longer uses. Ignoring it again discards a pending one.
		setAction(unix.SIGTSTP, ignore())
	}
	setAction(unix.SIGTSTP, &action{}) // the default action
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
	setAction(unix.SIGTSTP, &before)
}

// action is the kernel's struct sigaction, with spare room. All zeros are the default
// action. os/signal cannot restore the default: its handler stays once it is installed.
type action [8]uint64

// handler returns the place of the handler.
func (a *action) handler() *uintptr {
	offset := 0
	if strings.HasPrefix(runtime.GOARCH, "mips") { // the flags come first
		offset = int(unsafe.Sizeof(uintptr(0)))
	}
	return (*uintptr)(unsafe.Add(unsafe.Pointer(a), offset))
}

const sigIgn = 1 // SIG_IGN

func ignore() *action {
	a := &action{}
	*a.handler() = sigIgn
	return a
}

func (a *action) isIgnore() bool { return *a.handler() == sigIgn }

// setAction sets the action of a signal in this process, unless to is nil, and returns
// the action before.
func setAction(sig syscall.Signal, to *action) (before action) {
	size := uintptr(8) // the size of a signal set
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&before)), size, 0, 0)
	return before
}
