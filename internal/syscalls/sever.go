package syscalls

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sweepEvery is how soon it is noticed that a socket is in use no more. The one at its
// other end learns of it only then, since the duplicate keeps it open.
const sweepEvery = time.Second / 2

// patience is how long to wait before the next sweep; negative: for ever.
func (n *network) patience() time.Duration {
	if len(n.made) == 0 {
		return -1
	}
	return max(0, time.Until(n.next))
}

// close ends it: no socket is made from here on, and those that there are can't be
// used by who has them, or gets them from a process that lives on.
func (n *network) close() {
	n.open = false
	for _, s := range n.made {
		sever(s.fd)
	}
	n.drop()
}

func (n *network) drop() {
	for _, s := range n.made {
		unix.Close(s.fd)
	}
	n.made = nil
}

// sever makes a socket useless for all who have it, for good. No single call does:
//   - shutdown(2) ends connections properly. A socket of TCP can be connected anew; one
//     of UDP never sends again.
//   - A socket that is bound to a device can send by no other, and only CAP_NET_RAW
//     changes that; so it is bound to one that there is not. A socket of UDP forgets it
//     when it is disconnected.
//   - A filter lets nothing in, and is locked: nobody can take it away. So nothing can be
//     connected to, and the kernel tells no more of routes.
func sever(fd int) {
	_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, math.MaxInt32)
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1)
}

// sweep closes the duplicates of sockets that nobody inside has any more.
func (n *network) sweep() {
	begun := processorTime()
	used := n.used()
	kept := n.made[:0]
	for _, s := range n.made {
		s.unseen++
		if used[s.inode] {
			s.unseen = 0
		}
		// Twice, because a process may hand it on while others are looked at.
		if s.unseen > 1 {
			unix.Close(s.fd)
			continue
		}
		kept = append(kept, s)
	}
	n.made = kept
	// With many processes it takes its time: a twentieth of a processor's at most.
	n.next = time.Now().Add(min(max(sweepEvery, 20*(processorTime()-begun)), 10*sweepEvery))
}

// processorTime is how long this thread has been at work.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// used returns the inodes of the sockets that any process inside has open.
func (n *network) used() map[uint64]bool {
	used := map[uint64]bool{}
	for _, pid := range n.names(".") {
		if _, err := strconv.Atoi(pid); err != nil || n.namespaceOf(pid) != n.where {
			continue // all that is inside is in one
		}
		for _, task := range n.names(pid + "/task") {
			dir := fmt.Sprintf("%s/task/%s/fd", pid, task)
			for _, fd := range n.names(dir) {
				var inode uint64
				if _, err := fmt.Sscanf(n.link(dir+"/"+fd), "socket:[%d]", &inode); err == nil {
					used[inode] = true
				}
			}
		}
	}
	return used
}

// namespaceOf is the network namespace of a process, as /proc tells it.
func (n *network) namespaceOf(pid string) string { return n.link(pid + "/ns/net") }

// link reads a link of /proc; "" if it is not there any more.
func (n *network) link(name string) string {
	target := make([]byte, 64)
	length, err := unix.Readlinkat(int(n.proc.Fd()), name, target)
	if err != nil {
		return ""
	}
	return string(target[:length])
}

// names lists a directory of /proc; nothing if it is not there any more.
func (n *network) names(dir string) []string {
	fd, err := unix.Openat(int(n.proc.Fd()), dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	names, err := f.Readdirnames(0)
	if err != nil && err != io.EOF {
		return nil
	}
	return names
}
