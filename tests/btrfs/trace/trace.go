// Package trace runs a command and kills it before its nth system call that changes
// a file system. Tests use it to check the state that a killed process leaves. It
// counts the calls of all threads together, unlike strace(1) (ptrace(2), Linux 5.3).
package trace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changing are the system calls that change a file system or make a change durable.
// For ioctl(2) and openat(2) the arguments decide.
var changing = map[uint64]string{
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat",
	unix.SYS_LINKAT: "linkat", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_MKNODAT: "mknodat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_UTIMENSAT: "utimensat",
	unix.SYS_SETXATTR: "setxattr", unix.SYS_FSETXATTR: "fsetxattr", unix.SYS_REMOVEXATTR: "removexattr",
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_SENDFILE: "sendfile",
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_SYNCFS: "syncfs",
	unix.SYS_IOCTL: "ioctl", unix.SYS_OPENAT: "openat",
}

// syscallInfo is struct ptrace_syscall_info (linux/ptrace.h).
type syscallInfo struct {
	op   uint8
	_    [3]byte
	_    uint32
	_    [2]uint64
	call uint64
	args [6]uint64
	_    uint64
}

// atEntry is PTRACE_SYSCALL_INFO_ENTRY.
const atEntry = 1

// name returns the name of the system call if it is about to begin and changes
// something, and "" otherwise.
func (i syscallInfo) name() string {
	name := changing[i.call]
	switch {
	case i.op != atEntry:
		return ""
	case name == "ioctl" && i.args[1]>>30&3 != 1: // not _IOW, so it only reads
		return ""
	case name == "write" && i.args[0] <= 2: // output
		return ""
	case name == "openat" && i.args[2]&unix.O_CREAT == 0:
		return ""
	}
	return name
}

// Run runs a command and kills it before its nth changing system call, counted from
// 1; with 0 it never kills it. It returns the names of the changing calls that began,
// and whether it killed the command. It fails if the command fails by itself.
func Run(output *os.File, args []string, nth int) (calls []string, killed bool, err error) {
	// ptrace(2) works only on the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{output.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return nil, false, fmt.Errorf("cannot run %q: %w", args, err)
	}
	t := tracer{pid: pid, nth: nth}
	for {
		done, err := t.step()
		if err != nil {
			return t.calls, t.killed, errors.Join(fmt.Errorf("cannot trace %q: %w", args, err), unix.Kill(pid, unix.SIGKILL))
		}
		if done && t.status != 0 && !t.killed {
			return t.calls, false, fmt.Errorf("%q ended with %d", args, t.status)
		}
		if done {
			return t.calls, t.killed, nil
		}
	}
}

type tracer struct {
	pid, nth int
	began    bool
	calls    []string
	killed   bool
	status   int // the exit status
}

// step waits for an event of one of the threads and continues that thread.
func (t *tracer) step() (done bool, err error) {
	var ws unix.WaitStatus
	thread, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !ws.Stopped() {
		t.status = ws.ExitStatus()
		return thread == t.pid, nil
	}
	deliver := 0
	switch signal := ws.StopSignal(); {
	case !t.began: // at its execve(2)
		t.began = true
		err = unix.PtraceSetOptions(thread, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL|
			unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK)
	case signal == unix.SIGTRAP|0x80:
		err = t.call(thread)
	case signal != unix.SIGTRAP && signal != unix.SIGSTOP: // new threads begin with these
		deliver = int(signal)
	}
	if err == nil && !t.killed {
		err = unix.PtraceSyscall(thread, deliver)
	}
	if errors.Is(err, unix.ESRCH) { // the thread was killed meanwhile
		err = nil
	}
	return false, err
}

// call counts a system call, and kills the process before the nth.
func (t *tracer) call(thread int) error {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	name := info.name()
	if name == "" || t.killed {
		return nil
	}
	t.calls = append(t.calls, name)
	if len(t.calls) != t.nth {
		return nil
	}
	t.killed = true
	return unix.Kill(t.pid, unix.SIGKILL)
}
