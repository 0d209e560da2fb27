// Package mountcalls answers the mount(2) and umount(2) of a process tree in the
// place of the kernel, which refuses them all: the tree has no CAP_SYS_ADMIN. Hooks
// of apt remount what is read-only or noexec, and mount and unmount what the fstab
// names (apt.conf(5) has such a one for /usr), by whatever path, program or library
// they get to mount(8). A stand-in would have to be found by each of them.
//
// It is done by a seccomp(2) filter that hands those calls to a process outside of
// the tree (seccomp_unotify(2), Linux 5.0).
package mountcalls

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// abi is a set of system call numbers, as the audit system names it.
type abi struct {
	arch   uint32
	mount  uint32
	umount []uint32
}

// abis are those that a Debian root on amd64 and arm64 can hold programs of.
func abis() []abi {
	return []abi{
		{unix.AUDIT_ARCH_X86_64, 165, []uint32{166}},
		{unix.AUDIT_ARCH_I386, 21, []uint32{22, 52}},
		{unix.AUDIT_ARCH_AARCH64, 40, []uint32{39}},
		{unix.AUDIT_ARCH_ARM, 21, []uint32{52}},
	}
}

// newer are open_tree, move_mount, fsopen, fsconfig, fsmount, fspick and
// mount_setattr, by the same numbers everywhere: as on an old kernel they are not
// there, so that mount(8) does it all by mount(2).
var newer = []uint32{428, 429, 430, 431, 432, 433, 442}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offsetNumber = 0
	offsetArch   = 4
)

// x32Bit marks the calls of x32, which else have x86-64's numbers.
const x32Bit = 0x40000000

// program returns the filter. Of an architecture that it doesn't know it allows
// everything.
func program() []unix.SockFilter {
	filter := []unix.SockFilter{load(offsetArch)}
	for _, a := range abis() {
		body := []unix.SockFilter{load(offsetNumber)}
		if a.arch == unix.AUDIT_ARCH_X86_64 {
			body = append(body, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(x32Bit)})
		}
		// What follows the comparisons: allow, ask, and not there.
		const allow, ask, missing = 0, 1, 2
		asked := append([]uint32{a.mount}, a.umount...)
		left := len(asked) + len(newer)
		for _, call := range asked {
			left--
			body = append(body, jumpIfEqual(call, left+ask))
		}
		for _, call := range newer {
			left--
			body = append(body, jumpIfEqual(call, left+missing))
		}
		body = append(body,
			result(unix.SECCOMP_RET_ALLOW),
			result(unix.SECCOMP_RET_USER_NOTIF),
			result(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)),
		)
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(len(body)), K: a.arch})
		filter = append(filter, body...)
	}
	return append(filter, result(unix.SECCOMP_RET_ALLOW))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jumpIfEqual skips so many instructions if the accumulator is value.
func jumpIfEqual(value uint32, skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(skip), K: value}
}

func result(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// Intercept installs the filter on the calling thread, for all that it starts or
// executes from then on, and returns the descriptor of which Serve has to read what
// they ask: until somebody does, they wait. The thread needs CAP_SYS_ADMIN. There
// can be no two such filters: unix.EBUSY in a container that has one.
func Intercept() (listener int, err error) {
	filter := program()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, fmt.Errorf("cannot intercept mount(2): %w", errno)
	}
	return int(fd), nil
}

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

// SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND.
const (
	receive = 0xc0502100
	send    = 0xc0182101
)

// Serve answers, for as long as there is anybody to ask: a remount has happened,
// and so has what mounts or unmounts a directory for which known is true. All else
// is refused, as it is without.
func Serve(listener int, known func(dir string) bool) {
	for {
		var n notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receive, uintptr(unsafe.Pointer(&n)))
		if errno == unix.EINTR || errno == unix.ENOENT { // who asked is gone
			continue
		}
		if errno != 0 {
			return
		}
		r := response{id: n.id}
		if !allowed(n, known) {
			r.error = -int32(unix.EPERM)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), send, uintptr(unsafe.Pointer(&r)))
	}
}

func allowed(n notification, known func(dir string) bool) bool {
	for _, a := range abis() {
		if a.arch != n.arch {
			continue
		}
		target := n.args[0]
		if uint32(n.number)&^x32Bit == a.mount {
			if n.args[3]&unix.MS_REMOUNT != 0 {
				return true
			}
			target = n.args[1]
		}
		dir, err := readString(n.pid, target)
		return err == nil && known(dir)
	}
	return false
}

// readString reads a path in the memory of a process.
func readString(pid uint32, address uint64) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, unix.PathMax)
	n, err := f.ReadAt(text, int64(address)) // it may end at the end of what is mapped
	if n == 0 {
		return "", err
	}
	text, _, found := bytes.Cut(text[:n], []byte{0})
	if !found {
		return "", errors.New("it is no path")
	}
	return string(text), nil
}
