package syscalls

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NetworkMark exists inside while callers can get sockets of the running system's
// network, so CloseNetwork has an effect. The file has no effect on the network itself.
const NetworkMark = "/run/apt-be/network"

// closeNetwork are flags of umount2(2) without a meaning for the kernel, which never
// sees the call. So Serve need not read the caller's memory, which some machines permit
// to no process (kernel.yama.ptrace_scope=3).
const closeNetwork = 0x6e657400

// ErrNetworkOpen reports that scripts of packages would have the running system's
// network.
var ErrNetworkOpen = errors.New("cannot close the network before packages' scripts run")

// CloseNetwork ends, inside a sandbox, the access to the running system's network: for
// new sockets and for existing ones. When it returns, no socket works. No process
// inside can reverse it.
func CloseNetwork() error {
	if _, err := os.Lstat(NetworkMark); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := unix.Unmount("/", closeNetwork); err != nil {
		return fmt.Errorf("%w: the sandbox has not answered: %w", ErrNetworkOpen, err)
	}
	if err := os.Remove(NetworkMark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot note that the network is closed: %w", err)
	}
	return nil
}

// network has the sockets that Serve has created.
type network struct {
	proc *os.File
	open bool
	// made are duplicates of the sockets in use inside, through which Serve ends them.
	made []socket
	// where is the network namespace of the callers, as /proc shows it.
	where string
	next  time.Time // the time of the next search for unused sockets
}

type socket struct {
	fd     int
	inode  uint64
	unseen int // the number of consecutive searches that found no user
}

// most is the maximum number of sockets in use. apt has a few for each server.
const most = 512

// answer answers a call for a socket. It returns true if no response needs to be sent.
func (n *network) answer(listener int, ask notification, r *response) (done bool) {
	want, err := n.asked(ask)
	outside := n.open && err == nil && want.forDownloads()
	switch {
	case err == nil && outside && n.full():
		err = unix.EMFILE
	case err == nil && !outside && !ask.bySocketcall():
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE // the process gets a socket of its own network
		return false
	}
	var fd int
	if err == nil && outside {
		if n.where == "" {
			n.where = n.namespaceOf(fmt.Sprint(ask.pid))
		}
		fd, err = as(n.userOf(ask.pid), want.make)
	} else if err == nil {
		fd, err = n.makeFor(ask.pid, want)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		r.error = -int32(errnoOf(err))
		return false
	}
	done, errno := give(listener, fd, ask.id, want.kind, r)
	r.error = -int32(errno)
	if errno != 0 || !outside {
		unix.Close(fd)
		return done && errno == 0
	}
	if len(n.made) == 0 {
		n.next = time.Now().Add(sweepEvery)
	}
	n.made = append(n.made, socket{fd: fd, inode: st.Ino})
	return done
}

// full reports whether the maximum number of sockets is in use.
func (n *network) full() bool {
	if len(n.made) >= most {
		n.sweep()
	}
	return len(n.made) >= most
}

// wanted has the arguments of socket(2).
type wanted struct{ family, kind, protocol int }

// bySocketcall reports whether a call's arguments are in memory, where they may change.
func (n notification) bySocketcall() bool {
	return n.arch == unix.AUDIT_ARCH_I386 && n.number == socketcallNumber
}

// asked reads the arguments of a call for a socket.
func (n *network) asked(ask notification) (wanted, error) {
	args := [3]uint32{uint32(ask.args[0]), uint32(ask.args[1]), uint32(ask.args[2])}
	if ask.bySocketcall() {
		var memory [12]byte
		if read, err := readMemory(n.proc, ask.pid, ask.args[1], memory[:]); read < len(memory) {
			return wanted{}, err
		}
		for i := range args {
			args[i] = binary.LittleEndian.Uint32(memory[4*i:])
		}
	}
	return wanted{int(int32(args[0])), int(int32(args[1])), int(int32(args[2]))}, nil
}

// forDownloads reports whether a socket is for TCP or UDP over IP, or for the kernel's
// messages about addresses and routes, which getaddrinfo(3) reads.
func (w wanted) forDownloads() bool {
	kind := w.kind &^ (unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK)
	switch w.family {
	case unix.AF_INET, unix.AF_INET6:
		return kind == unix.SOCK_STREAM && (w.protocol == 0 || w.protocol == unix.IPPROTO_TCP) ||
			kind == unix.SOCK_DGRAM && (w.protocol == 0 || w.protocol == unix.IPPROTO_UDP)
	case unix.AF_NETLINK:
		return (kind == unix.SOCK_RAW || kind == unix.SOCK_DGRAM) && w.protocol == unix.NETLINK_ROUTE
	}
	return false
}

func (w wanted) make() (int, error) {
	return unix.Socket(w.family, w.kind|unix.SOCK_CLOEXEC, w.protocol)
}

// makeFor creates a socket in the network namespace of a process that calls
// socketcall(2). If the kernel continued such a call, it could find other arguments
// than the checked ones. Sockets that need a capability there are not created.
func (n *network) makeFor(pid uint32, want wanted) (fd int, err error) {
	if want.family != unix.AF_UNIX && want.family != unix.AF_NETLINK && !want.forDownloads() {
		return 0, unix.EAFNOSUPPORT
	}
	theirs, err := openIn(n.proc, fmt.Sprintf("%d/ns/net", pid))
	if err != nil {
		return 0, err
	}
	defer theirs.Close()
	ours, err := openIn(n.proc, fmt.Sprintf("%d/ns/net", unix.Gettid()))
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err == nil {
			fd, err = as(n.userOf(pid), want.make)
		}
		// No other code may run in that namespace. The thread's end would be
		// sufficient, but Go keeps the first thread.
		if unix.Setns(int(ours.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return fd, err
}

// addFD is struct seccomp_notif_addfd.
type addFD struct {
	id                           uint64
	flags, from, newFD, newFlags uint32
}

const notifAddFD = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD

// give adds a descriptor to the calling process and returns it from its call. It
// returns true if no response needs to be sent.
func give(listener, fd int, id uint64, kind int, r *response) (done bool, errno unix.Errno) {
	add := addFD{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, from: uint32(fd)}
	if kind&unix.SOCK_CLOEXEC != 0 {
		add.newFlags = unix.O_CLOEXEC
	}
	if errno = ioctl(listener, notifAddFD, unsafe.Pointer(&add)); errno != unix.EINVAL {
		return true, errno
	}
	add.flags = 0 // before Linux 5.14 this needs two steps
	number, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifAddFD, uintptr(unsafe.Pointer(&add)))
	r.val = int64(number)
	return false, errno
}

// as creates a socket with the rights of a user: without capabilities, because some
// operations check the creator's, and owned by that user, by which firewalls match it
// (nft's "meta skuid").
func as(uid int, make func() (int, error)) (fd int, err error) {
	const number = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_NET_BROADCAST
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before [2]unix.CapUserData
	if err := unix.Capget(&header, &before[0]); err != nil {
		return 0, err
	}
	less := before
	less[0].Effective &^= number
	if err := unix.Capset(&header, &less[0]); err != nil {
		return 0, err
	}
	if uid > 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	}
	fd, err = make()
	if uid > 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(os.Geteuid()), 0, 0)
	}
	if back := unix.Capset(&header, &before[0]); back != nil && err == nil {
		unix.Close(fd)
		return 0, back
	}
	return fd, err
}

// userOf returns the file system user ID of a process, or 0 if it cannot be read.
func (n *network) userOf(pid uint32) int {
	f, err := openIn(n.proc, fmt.Sprintf("%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 1<<14))
	_, ids, _ := strings.Cut(string(text), "\nUid:")
	var real, effective, saved, files int
	_, _ = fmt.Sscan(ids, &real, &effective, &saved, &files)
	return files
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EPERM
}
