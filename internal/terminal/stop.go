package terminal

import (
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stop stops this process, and for a signal that a terminal may have sent all
// others of its process group, and returns when it goes on. It does nothing to an
// orphaned process group.
func stop(sig syscall.Signal) {
	// A signal to a process may be handled by any of its threads: kill can return
	// before that has happened, and nobody could tell from here whether the stop
	// is to come or over. What a thread sends itself is handled when the call
	// returns. So this process takes no part in the first one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := setAction(unix.SIGTSTP, nil)
	if before.isIgnore() { // as of those who are told with it
		if sig != unix.SIGSTOP {
			_ = unix.Kill(0, unix.SIGTSTP)
		}
		return
	}
	if sig != unix.SIGSTOP {
		setAction(unix.SIGTSTP, ignore())
		_ = unix.Kill(0, unix.SIGTSTP)
		// It is kept all the same if the main thread has it blocked, as one has that
		// Go is done with. To ignore it once more discards what is kept.
		setAction(unix.SIGTSTP, ignore())
	}
	setAction(unix.SIGTSTP, &action{}) // the default
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
	setAction(unix.SIGTSTP, &before)
}

// action is the kernel's struct sigaction, with room to spare. All zeros are the
// default action. os/signal cannot return to that: a handler that it once has
// installed stays.
type action [8]uint64

// handler is where the handler is.
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

// setAction says what a signal does to this process, nil: what it does now, and
// returns what it did before.
func setAction(sig syscall.Signal, to *action) (before action) {
	size := uintptr(8) // of a set of signals
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&before)), size, 0, 0)
	return before
}
