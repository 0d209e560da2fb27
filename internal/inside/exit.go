package inside

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit describes how a process must end.
type Exit struct {
	Code   int
	Signal syscall.Signal // the signal to die of, or 0
}

// Die ends this process like the frontend: with its status or by its signal.
func (e Exit) Die() {
	if e.Signal != 0 {
		die(e.Signal)
		os.Exit(128 + int(e.Signal))
	}
	os.Exit(e.Code)
}

// die kills this process with a signal, without output. It returns if the signal does
// not kill the process, as for process 1.
func die(sig syscall.Signal) {
	// The signal and its mask belong to this thread.
	runtime.LockOSThread()
	// Write no core file, because this process only repeats the end of another one. The
	// limit does not apply to cores that the kernel pipes to a program (core(5)).
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	signal.Reset(sig)
	setDefault(sig)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
	// The parent of this process may have blocked the signal.
	mask := unix.Sigset_t{}
	mask.Val[(sig-1)/64] = 1 << ((sig - 1) % 64)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &mask, nil)
	time.Sleep(time.Second)
}

// setDefault sets the kernel's default action for a signal. signal.Reset would restore
// the action of Go's runtime. For SIGABRT, SIGSEGV, SIGQUIT and others the runtime
// prints the stacks and exits with 2, and it ignores SIGPIPE.
func setDefault(sig syscall.Signal) {
	var action struct { // the kernel's struct sigaction; all zero is SIG_DFL
		handler, flags, restorer uintptr
		mask                     uint64
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
}
