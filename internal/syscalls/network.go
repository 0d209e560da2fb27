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

// NetworkMark is there inside while sockets of the running system's network are to be
// had: CloseNetwork has something to do. That it is made or removed opens and closes
// nothing.
const NetworkMark = "/run/apt-be/network"

// closeNetwork are flags of umount2(2) that mean nothing to the kernel, which is not
// asked. Nothing has to be read in the memory of who asks: some machines allow it to
// nobody (kernel.yama.ptrace_scope=3).
const closeNetwork = 0x6e657400

// ErrNetworkOpen says that packages' scripts would have the running system's network.
var ErrNetworkOpen = errors.New("cannot close the network before packages' scripts run")

// CloseNetwork ends, inside a sandbox, that sockets of the running system's network
// are to be had, and those that there are. When it returns they are of no use. Nothing
// inside can begin it again.
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

// network is what Serve knows of the sockets that it has made.
type network struct {
	proc *os.File
	open bool
	// made are duplicates of sockets that are in use inside, by which they are ended.
	made []socket
	// where is the network namespace of who asked, as /proc tells it.
	where string
	next  time.Time // when to look for those that are no more in use
}

type socket struct {
	fd     int
	inode  uint64
	unseen int // how often in a row nobody was found to have it
}

// most is how many sockets may be in use at once. apt has some for each server.
const most = 512

// answer answers a call for a socket, and returns true if nothing is left to send.
func (n *network) answer(listener int, ask notification, r *response) (done bool) {
	want, err := n.asked(ask)
	outside := n.open && err == nil && want.forDownloads()
	switch {
	case err == nil && outside && n.full():
		err = unix.EMFILE
	case err == nil && !outside && !ask.bySocketcall():
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE // it gets one of its own network
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

// full says that as many sockets are in use as may be.
func (n *network) full() bool {
	if len(n.made) >= most {
		n.sweep()
	}
	return len(n.made) >= most
}

// wanted is what socket(2) is asked for.
type wanted struct{ family, kind, protocol int }

// bySocketcall says that a call's arguments are in memory, where they may change.
func (n notification) bySocketcall() bool {
	return n.arch == unix.AUDIT_ARCH_I386 && n.number == socketcallNumber
}

// asked reads what socket is asked for.
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

// forDownloads tells of sockets of IP for TCP and UDP, and of those by which the kernel
// tells of addresses and routes, which getaddrinfo(3) wants to know.
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

// makeFor makes a socket in the network namespace of a process, for one that asks by
// socketcall(2): if the kernel went on with that, it might find other arguments there
// than have been looked at. What takes a capability there is not to be had.
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
		// Nothing else may run in that namespace. The end of a thread would do, but
		// Go keeps the first one.
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

// give puts a descriptor into the process that asks, as what its call returns. It
// returns true if nothing is left to send.
func give(listener, fd int, id uint64, kind int, r *response) (done bool, errno unix.Errno) {
	add := addFD{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, from: uint32(fd)}
	if kind&unix.SOCK_CLOEXEC != 0 {
		add.newFlags = unix.O_CLOEXEC
	}
	if errno = ioctl(listener, notifAddFD, unsafe.Pointer(&add)); errno != unix.EINVAL {
		return true, errno
	}
	add.flags = 0 // before Linux 5.14 it takes two steps
	number, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifAddFD, uintptr(unsafe.Pointer(&add)))
	r.val = int64(number)
	return false, errno
}

// as makes a socket as a user would: without the capabilities of which some of its
// calls might ask the one who made it, and with that user as its owner, by which
// firewalls know it (nft's "meta skuid").
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

// userOf is the user of a process, for its files; 0 if that can't be found out.
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
