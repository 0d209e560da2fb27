// Package nosync makes a process tree's calls for durability succeed without
// being carried out, by a seccomp(2) filter. It is for what is written to a
// tree that nobody uses before one syncfs(2) from outside has made it durable.
package nosync

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Suppress installs the filter on the calling thread: fsync, fdatasync, sync,
// syncfs, sync_file_range, and msync with MS_SYNC return 0 at once, for it and
// for all that it starts or executes from then on. It can't be taken back.
//
// The thread needs CAP_SYS_ADMIN; the alternative, PR_SET_NO_NEW_PRIVS, would
// break setuid programs. The kernel has to know seccomp filters
// (CONFIG_SECCOMP_FILTER) and SECCOMP_FILTER_FLAG_SPEC_ALLOW (Linux 4.17).
//
// Files opened with O_SYNC or O_DSYNC stay synchronous: a filter can't change
// a call's arguments, and to refuse them, as systemd-nspawn does, would fail
// programs that work in place. io_uring's fsync is not a system call. Both cost
// time where they are used, and nothing else.
func Suppress() error {
	filter := program()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without SPEC_ALLOW, kernels before 5.16 slow down all that the tree does.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("cannot suppress syncing: %w", errno)
	}
	return nil
}

// abi is a set of system call numbers, as the audit system names it.
type abi struct {
	arch  uint32
	calls []uint32 // fsync, fdatasync, sync, syncfs, sync_file_range
	msync uint32
}

// abis are those that a Debian root on amd64 and arm64 can hold programs of
// (arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h,
// arch/arm/tools/syscall.tbl).
func abis() []abi {
	return []abi{
		{unix.AUDIT_ARCH_X86_64, []uint32{74, 75, 162, 306, 277}, 26},
		{unix.AUDIT_ARCH_I386, []uint32{118, 148, 36, 344, 314}, 144},
		{unix.AUDIT_ARCH_AARCH64, []uint32{82, 83, 81, 267, 84}, 227},
		{unix.AUDIT_ARCH_ARM, []uint32{118, 148, 36, 373, 341}, 144},
	}
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetFlags  = 16 + 2*8 // the low half of the third argument: both are little endian
)

// x32Bit marks the calls of x32, which else have x86-64's numbers.
const x32Bit = 0x40000000

// program returns the filter. Of an architecture that it doesn't know it
// allows everything.
func program() []unix.SockFilter {
	filter := []unix.SockFilter{load(offsetArch)}
	for _, a := range abis() {
		body := []unix.SockFilter{load(offsetNumber)}
		if a.arch == unix.AUDIT_ARCH_X86_64 {
			body = append(body, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(x32Bit)})
		}
		// What follows the comparisons: allow, answer, and msync's own test.
		const allow, answer, msync = 0, 1, 2
		for i, call := range a.calls {
			body = append(body, jumpIfEqual(call, len(a.calls)-i+answer, 0))
		}
		body = append(body,
			jumpIfEqual(a.msync, msync, allow),
			result(unix.SECCOMP_RET_ALLOW),
			result(unix.SECCOMP_RET_ERRNO), // with errno 0: success
			load(offsetFlags),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.MS_SYNC, Jt: 0, Jf: 1},
			result(unix.SECCOMP_RET_ERRNO),
			// MS_ASYNC does nothing but check addresses, for which some call it.
			result(unix.SECCOMP_RET_ALLOW),
		)
		filter = append(filter, jumpIfEqual(a.arch, 0, len(body)))
		filter = append(filter, body...)
	}
	return append(filter, result(unix.SECCOMP_RET_ALLOW))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jumpIfEqual skips so many instructions if the accumulator is value, or is not.
func jumpIfEqual(value uint32, ifEqual, ifNot int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(ifEqual), Jf: uint8(ifNot), K: value}
}

func result(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}
