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

// sweepEvery is the maximum time until an unused socket is noticed. Only then does its
// peer see the close, because the duplicate keeps the connection open.
const sweepEvery = time.Second / 2

// patience returns the time until the next sweep; negative: without limit.
func (n *network) patience() time.Duration {
	if len(n.made) == 0 {
		return -1
	}
	return max(0, time.Until(n.next))
}

// close ends the access to the network: it creates no more sockets, and makes existing
// ones useless, even for a process that gets one later.
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

// sweep closes the duplicates of sockets that no process inside has.
func (n *network) sweep() {
	begun := processorTime()
	used := n.used()
	kept := n.made[:0]
	for _, s := range n.made {
		s.unseen++
		if used[s.inode] {
			s.unseen = 0
		}
		// Two searches, because a process may pass a socket on during one.
		if s.unseen > 1 {
			unix.Close(s.fd)
			continue
		}
		kept = append(kept, s)
	}
	n.made = kept
	// With many processes a search takes long: use at most a twentieth of a processor.
	n.next = time.Now().Add(min(max(sweepEvery, 20*(processorTime()-begun)), 10*sweepEvery))
}

// processorTime returns the processor time of this thread.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// used returns the inodes of the sockets that processes inside have open.
func (n *network) used() map[uint64]bool {
	used := map[uint64]bool{}
	for _, pid := range n.names(".") {
		if _, err := strconv.Atoi(pid); err != nil || n.namespaceOf(pid) != n.where {
			continue // all processes inside are in one namespace
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

// namespaceOf returns the network namespace of a process, as /proc shows it.
func (n *network) namespaceOf(pid string) string { return n.link(pid + "/ns/net") }

// link reads a link of /proc; "" if it is gone.
func (n *network) link(name string) string {
	target := make([]byte, 64)
	length, err := unix.Readlinkat(int(n.proc.Fd()), name, target)
	if err != nil {
		return ""
	}
	return string(target[:length])
}

// names lists a directory of /proc; nothing if it is gone.
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
