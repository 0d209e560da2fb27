// Package seccomp creates and installs seccomp(2) filters. They set the result of some
// system calls of a process and of all its future children. The rules apply to every
// set of system call numbers of the programs that a Debian root on amd64 or arm64 can
// contain.
package seccomp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rule sets the result of some system calls. The first matching rule applies. Calls
// without a rule are allowed.
type Rule struct {
	Calls  []Call
	If     *Condition // nil for always
	Action uint32     // unix.SECCOMP_RET_…, or Errno
}

// Condition is a condition on an argument of a call: in the bits of the mask, it has
// one of some values. It sees the low 32 bits, so use it only for arguments of which
// the kernel reads no more.
type Condition struct {
	Arg  int
	Mask uint32 // 0 for all
	Is   []uint32
}

// Errno returns the action that makes a system call fail with errno.
func Errno(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

// Success is the action that makes a system call return 0 without an effect.
const Success uint32 = unix.SECCOMP_RET_ERRNO // with errno 0

// Offsets in struct seccomp_data (linux/seccomp.h). All abis are little endian, so the
// low half of an argument comes first.
const (
	OffsetNumber = 0
	OffsetArch   = 4
	OffsetArgs   = 16
)

// X32Bit marks the calls of x32, which the audit system takes for x86-64.
const X32Bit = 0x40000000

// Program returns the filter of the rules. other is the action for all calls with other
// sets of numbers.
func Program(other uint32, rules ...Rule) []unix.SockFilter {
	program := []unix.SockFilter{load(OffsetArch)}
	for which, arch := range abis {
		body := loadNumber(arch)
		for _, rule := range rules {
			body = append(body, rule.compile(which, arch)...)
		}
		body = append(body, result(unix.SECCOMP_RET_ALLOW))
		program = append(program, jumpIfEqual(arch, 1), jump(len(body)))
		program = append(program, body...)
	}
	return append(program, result(other))
}

// compile returns the instructions of a rule for one of abis. They start with the
// number of the call in the accumulator, and leave it there if the rule does not match.
func (r Rule) compile(which int, arch uint32) []unix.SockFilter {
	numbers := numbersOf(r.Calls, which)
	if len(numbers) == 0 {
		return nil
	}
	var found []unix.SockFilter // the instructions after a match of the number
	if c := r.If; c != nil {
		found = append(found, load(OffsetArgs+8*uint32(c.Arg)))
		if c.Mask != 0 {
			found = append(found, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: c.Mask})
		}
		back := append(loadNumber(arch), jump(1))
		for i, value := range c.Is {
			found = append(found, jumpIfEqual(value, len(c.Is)-1-i+len(back)))
		}
		found = append(found, back...)
	}
	found = append(found, result(r.Action))
	var all []unix.SockFilter
	for i, number := range numbers {
		all = append(all, jumpIfEqual(number, len(numbers)-1-i+1))
	}
	all = append(all, jump(len(found)))
	return append(all, found...)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// loadNumber loads the number of the call. x32 has x86-64's numbers, except for some of
// its own.
func loadNumber(arch uint32) []unix.SockFilter {
	all := []unix.SockFilter{load(OffsetNumber)}
	if arch == unix.AUDIT_ARCH_X86_64 {
		all = append(all, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(X32Bit)})
	}
	return all
}

// jumpIfEqual skips a number of instructions if the accumulator equals value.
func jumpIfEqual(value uint32, skip int) unix.SockFilter {
	if skip > 255 {
		panic("a rule of a filter has more calls than a jump can skip")
	}
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(skip), K: value}
}

func jump(skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(skip)}
}

func result(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// Install installs a filter for the calling thread and everything that it starts or
// executes afterwards. No process can remove it. The thread needs CAP_SYS_ADMIN: the
// alternative, PR_SET_NO_NEW_PRIVS, would break setuid programs. The kernel needs
// seccomp filters (CONFIG_SECCOMP_FILTER) and SECCOMP_FILTER_FLAG_SPEC_ALLOW (Linux
// 4.17).
func Install(program []unix.SockFilter) error {
	_, err := install(program, 0)
	return err
}

// InstallListener installs a filter whose calls another process can answer
// (unix.SECCOMP_RET_USER_NOTIF, seccomp_unotify(2), Linux 5.0), and returns the
// descriptor for the kernel's requests. A process can have only one such filter: in a
// container that has one, the error is unix.EBUSY.
func InstallListener(program []unix.SockFilter) (listener int, err error) {
	return install(program, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
}

func install(program []unix.SockFilter, flags uintptr) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// Without SPEC_ALLOW, kernels before 5.16 slow down every process of the sandbox.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		flags|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, fmt.Errorf("cannot filter system calls: %w", errno)
	}
	return int(fd), nil
}
