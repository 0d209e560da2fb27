package syscalls

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
	"github.com/apt-be/apt-be/internal/seccomp/seccomptest"
)

func TestDenied(t *testing.T) {
	const allow = unix.SECCOMP_RET_ALLOW
	const amd64, i386, arm64, arm, x32 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, seccomp.X32Bit
	no, missing, family := seccomp.Errno(unix.EPERM), seccomp.Errno(unix.ENOSYS), seccomp.Errno(unix.EAFNOSUPPORT)
	filter := denied()
	for _, arch := range []uint32{amd64, i386, arm64, arm} {
		for _, name := range refused {
			for _, number := range seccomp.Numbers(arch, name) {
				if got, err := seccomptest.Evaluate(filter, arch, number); err != nil || got != no {
					t.Errorf("%s (%#x, %d): %#x, %v, want %#x", name, arch, number, got, err, no)
				}
			}
		}
	}
	for _, tt := range []struct {
		what         string
		arch, number uint32
		args         []uint64
		want         uint32
	}{
		{"keyctl", i386, 288, nil, no},
		{"keyctl of x32", amd64, 250 | x32, nil, no},
		{"kexec_load of x32", amd64, 528 | x32, nil, no},
		{"stime", i386, 25, nil, no},
		{"clock_settime64", arm, 404, nil, no},
		{"TIOCSTI", amd64, 16, []uint64{0, tiocsti}, no},
		{"TIOCSTI with more bits", amd64, 16, []uint64{0, 0xffff_ffff_0000_0000 | tiocsti}, no},
		{"TIOCSTI of x32", amd64, 514 | x32, []uint64{0, tiocsti}, no},
		{"TIOCSTI", i386, 54, []uint64{0, tiocsti}, no},
		{"TIOCSTI", arm64, 29, []uint64{0, tiocsti}, no},
		{"TIOCLINUX", arm, 54, []uint64{0, tioclinux}, no},
		{"TIOCSETD", amd64, 16, []uint64{0, tiocsetd}, no},
		{"TIOCSETD", arm64, 29, []uint64{0, tiocsetd}, no},
		{"TIOCGWINSZ", amd64, 16, []uint64{0, unix.TIOCGWINSZ}, allow},
		{"TIOCSTI as a descriptor", amd64, 16, []uint64{tiocsti, unix.TIOCGWINSZ}, allow},
		{"SCHED_FIFO", amd64, 144, []uint64{0, 1}, no},
		{"SCHED_RR with a reset", amd64, 144, []uint64{0, 0x40000002}, no},
		{"SCHED_DEADLINE", i386, 156, []uint64{0, 6}, no},
		{"SCHED_BATCH with a reset", amd64, 144, []uint64{0, 0x40000003}, allow},
		{"SCHED_IDLE", arm64, 119, []uint64{0, 5}, allow},
		{"unshare of the user", amd64, 272, []uint64{unix.CLONE_NEWUSER | unix.CLONE_NEWNS}, no},
		{"unshare of the user", i386, 310, []uint64{unix.CLONE_NEWUSER}, no},
		{"unshare of mounts", amd64, 272, []uint64{unix.CLONE_NEWNS}, allow}, // the kernel checks this call
		{"clone of the user", arm64, 220, []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, no},
		{"clone of x32", amd64, 56 | x32, []uint64{unix.CLONE_NEWUSER}, no},
		{"fork", amd64, 56, []uint64{unix.CLONE_CHILD_SETTID | uint64(unix.SIGCHLD)}, allow},
		{"clone3", amd64, 435, nil, missing},
		{"clone3", i386, 435, nil, missing},
		{"a socket of virtual machines", amd64, 41, []uint64{afVsock}, family},
		{"a socket of modems", arm64, 198, []uint64{afQipcrtr}, family},
		{"a socket of IP", amd64, 41, []uint64{unix.AF_INET}, allow},
		{"a socket of UNIX", i386, 359, []uint64{unix.AF_UNIX}, allow},
		{"seccomp", amd64, 317, nil, allow},
		{"execve", arm64, 221, nil, allow},
		{"execve of x32", amd64, 520 | x32, nil, allow},
		{"execve", i386, 11, nil, allow},
		{"name_to_handle_at", amd64, 303, nil, allow},
		{"adjtimex", amd64, 159, nil, allow},
		{"another machine's call", unix.AUDIT_ARCH_RISCV64, 221, nil, no},
		{"a big-endian call", unix.AUDIT_ARCH_PPC64, 11, nil, no},
	} {
		if got, err := seccomptest.Evaluate(filter, tt.arch, tt.number, tt.args...); err != nil || got != tt.want {
			t.Errorf("%s (%#x, %d, %#x): %#x, %v, want %#x", tt.what, tt.arch, tt.number, tt.args, got, err, tt.want)
		}
	}
}
