package redirect

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit is how a process is to end.
type Exit struct {
	Code   int
	Signal syscall.Signal // that it has to die of, or 0
}

// Die ends this process as the frontend ended: with its status, or by its signal.
func (e Exit) Die() {
	if e.Signal != 0 {
		die(e.Signal)
		os.Exit(128 + int(e.Signal))
	}
	os.Exit(e.Code)
}

// die has this process die of a signal, quietly: what there is to be seen of it
// is the frontend's. It returns if the signal kills nobody, as process 1.
func die(sig syscall.Signal) {
	// The signal and its mask are this thread's.
	runtime.LockOSThread()
	// No core of a process that only repeats what another one did. The limit does
	// not hold for cores that the kernel pipes to a program (core(5)).
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	signal.Reset(sig)
	setDefault(sig)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
	// Whoever started this process may have blocked it.
	mask := unix.Sigset_t{}
	mask.Val[(sig-1)/64] = 1 << ((sig - 1) % 64)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &mask, nil)
	time.Sleep(time.Second)
}

// setDefault gives a signal the kernel's own action. signal.Reset gives it that of
// Go's runtime, which prints the stacks and exits with 2 at SIGABRT, SIGSEGV,
// SIGQUIT and others, and ignores SIGPIPE.
func setDefault(sig syscall.Signal) {
	var action struct { // the kernel's struct sigaction, all zero: SIG_DFL
		handler, flags, restorer uintptr
		mask                     uint64
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
}
