// Package syscalls handles system calls of the processes in a sandbox. Deny makes the
// kernel refuse some of them. Serve answers others in place of the kernel.
//
// Serve answers mount(2) and umount(2). The kernel refuses them, because no process in a
// sandbox has CAP_SYS_ADMIN, but hooks of apt need them: they remount file systems that
// are read-only or noexec, and mount and unmount entries of the fstab. apt.conf(5) has
// such a hook for /usr. A replacement of the program mount(8) would not suffice, because
// hooks reach mount(2) by other paths, programs and libraries.
//
// Serve answers socket(2) if the sandbox has an empty network namespace of its own but
// may download. Until a process inside ends this permission, each new socket belongs to
// the running system's network.
//
// Both use a seccomp(2) filter that passes the calls to a process outside of the sandbox
// (seccomp_unotify(2)).
package syscalls

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// notification and response are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id     uint64
	pid    uint32
	flags  uint32
	number int32
	arch   uint32
	ip     uint64
	args   [6]uint64
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// Answers configures Serve.
type Answers struct {
	// Known reports whether mounts and unmounts of a directory appear to succeed.
	Known func(dir string) bool
	// Proc is a directory: the /proc of the PID namespace in which Serve runs.
	Proc *os.File
	// Sockets gives callers sockets of the network namespace in which Serve runs, until
	// CloseNetwork is called inside. It needs Linux 5.9.
	Sockets bool
}

// Serve answers requests until no process can make one. Remounts, and mounts and
// unmounts of known directories, appear to succeed. It refuses all other mounts, as the
// kernel would.
//
// Serve closes the descriptor at the end. It keeps its thread, whose capabilities and
// user it changes for moments: it must not run on a thread that has set
// PR_SET_PDEATHSIG.
func Serve(from *os.File, a Answers) {
	runtime.LockOSThread()
	defer from.Close() // this also keeps it open until then
	// If a signal, such as Go's own, interrupted a response, the kernel would return 0
	// to the caller instead.
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
		return
	}
	listener := int(from.Fd())
	net := network{proc: a.Proc, open: a.Sockets}
	defer net.drop()
	for {
		ready, err := await(listener, net.patience())
		if err != nil {
			return
		}
		if !ready {
			net.sweep()
			continue
		}
		var n notification
		switch errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno {
		case 0:
			a.answer(listener, n, &net)
		case unix.EINTR, unix.ENOENT: // the caller has ended
		default:
			return
		}
	}
}

// await waits for a request, up to patience; a negative patience waits without limit.
// An error means that no process can make a request any more (reported since Linux
// 5.9).
func await(listener int, patience time.Duration) (ready bool, err error) {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	timeout := -1
	if patience >= 0 {
		timeout = int(patience.Milliseconds()) + 1
	}
	n, err := unix.Poll(poll, timeout)
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n > 0 && poll[0].Revents&unix.POLLIN == 0:
		return false, errors.New("nobody is left")
	}
	return n > 0, nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

// answer answers a call. If the caller has ended and its PID now belongs to another
// process, no process gets the answer, so there is no harm.
func (a Answers) answer(listener int, n notification, net *network) {
	r := response{id: n.id}
	switch call := n.call(); {
	case call == callSocket:
		if net.answer(listener, n, &r) {
			return
		}
	case call == callUmount && uint32(n.args[1]) == closeNetwork:
		net.close()
	case !a.allowed(n, call):
		r.error = -int32(unix.EPERM)
	}
	_ = ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// The kinds of calls.
const (
	callMount = iota
	callUmount
	callSocket
)

// call returns the kind of a call: the filter passes no others.
func (n notification) call() int {
	number := uint32(n.number) &^ seccomp.X32Bit
	switch {
	case slices.Contains(seccomp.Numbers(n.arch, "mount"), number):
		return callMount
	case slices.Contains(seccomp.Numbers(n.arch, "socket", "socketcall"), number):
		return callSocket
	}
	return callUmount
}

func (a Answers) allowed(n notification, call int) bool {
	target := n.args[0]
	if call == callMount {
		if n.args[3]&unix.MS_REMOUNT != 0 {
			return true
		}
		target = n.args[1]
	}
	dir, err := readString(a.Proc, n.pid, target)
	return err == nil && a.Known != nil && a.Known(dir)
}

// readString reads a path in the memory of a process.
func readString(proc *os.File, pid uint32, address uint64) (string, error) {
	text := make([]byte, unix.PathMax)
	n, err := readMemory(proc, pid, address, text) // the mapping may end within the buffer
	if n == 0 {
		return "", err
	}
	text, _, found := bytes.Cut(text[:n], []byte{0})
	if !found {
		return "", errors.New("the string has no end")
	}
	return string(text), nil
}

func readMemory(proc *os.File, pid uint32, address uint64, into []byte) (int, error) {
	f, err := openIn(proc, fmt.Sprintf("%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(into, int64(address))
}

// openIn opens a file of a /proc.
func openIn(proc *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(proc.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
