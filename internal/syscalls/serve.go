// Package syscalls is what a sandbox does about the system calls of what runs in it:
// some are refused (Deny), and some are answered in the place of the kernel (Serve).
//
// mount(2) and umount(2) the kernel refuses, since nothing in a sandbox has
// CAP_SYS_ADMIN. Hooks of apt remount what is read-only or noexec, and mount and
// unmount what the fstab names (apt.conf(5) has such a one for /usr), by whatever
// path, program or library they get to mount(8). A stand-in would have to be found by
// each of them.
//
// socket(2) is answered where a sandbox has a network namespace of its own with
// nothing in it, and downloads all the same: until somebody inside ends it, what asks
// for a socket gets one of the running system's network.
//
// Both are done by a seccomp(2) filter that hands the calls to a process outside
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

// Answers are what Serve goes by.
type Answers struct {
	// Known tells of a directory that what mounts or unmounts it has done so.
	Known func(dir string) bool
	// Proc is a directory, a /proc of the PID namespace in which Serve runs.
	Proc *os.File
	// Sockets says that who asks for a socket gets one of the network namespace in
	// which Serve runs, until CloseNetwork is called inside. It takes Linux 5.9.
	Sockets bool
}

// Serve answers, for as long as there is anybody to ask: a remount has happened,
// and so has what mounts or unmounts a directory that is known. All else that is
// asked of mounts is refused, as it is without.
//
// It closes the descriptor in the end. It keeps its thread, of which it changes
// capabilities and user for a moment: that may not be one that set PR_SET_PDEATHSIG.
func Serve(from *os.File, a Answers) {
	runtime.LockOSThread()
	defer from.Close() // which also keeps it open until then
	// A signal, such as Go's own, in the midst of an answer would have the kernel give
	// who asks another one: 0.
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
		case unix.EINTR, unix.ENOENT: // who asked is gone
		default:
			return
		}
	}
}

// await waits until there is something to answer, for so long; a negative time is for
// ever. An error means that there is nobody left to ask (Linux 5.9 and later tell).
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

// answer answers a call. That who asked is gone by now, and that its PID is another
// process's, does no harm: then nobody gets the answer.
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

// What is asked for.
const (
	callMount = iota
	callUmount
	callSocket
)

// call tells which call it is: the filter hands over no others.
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
	n, err := readMemory(proc, pid, address, text) // it may end at the end of what is mapped
	if n == 0 {
		return "", err
	}
	text, _, found := bytes.Cut(text[:n], []byte{0})
	if !found {
		return "", errors.New("it is no path")
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
