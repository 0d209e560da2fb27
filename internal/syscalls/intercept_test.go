package syscalls

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
	"github.com/apt-be/apt-be/internal/seccomp/seccomptest"
)

func TestIntercepted(t *testing.T) {
	const allow, ask = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_USER_NOTIF
	missing := unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for _, tt := range []struct {
		what         string
		arch, number uint32
		want         uint32
	}{
		{"mount", unix.AUDIT_ARCH_X86_64, 165, ask},
		{"umount2", unix.AUDIT_ARCH_X86_64, 166, ask},
		{"mount of x32", unix.AUDIT_ARCH_X86_64, 165 | seccomp.X32Bit, ask},
		{"write", unix.AUDIT_ARCH_X86_64, 1, allow},
		{"fspick", unix.AUDIT_ARCH_X86_64, 433, missing},
		{"mount_setattr", unix.AUDIT_ARCH_X86_64, 442, missing},
		{"the one after it", unix.AUDIT_ARCH_X86_64, 443, allow},
		{"mount", unix.AUDIT_ARCH_I386, 21, ask},
		{"umount", unix.AUDIT_ARCH_I386, 22, ask},
		{"umount2", unix.AUDIT_ARCH_I386, 52, ask},
		{"x86-64's mount", unix.AUDIT_ARCH_I386, 165, allow},
		{"mount", unix.AUDIT_ARCH_AARCH64, 40, ask},
		{"umount2", unix.AUDIT_ARCH_AARCH64, 39, ask},
		{"open_tree", unix.AUDIT_ARCH_AARCH64, 428, missing},
		{"umount2", unix.AUDIT_ARCH_ARM, 52, ask},
		{"mount of another architecture", unix.AUDIT_ARCH_RISCV64, 40, allow},
	} {
		for _, sockets := range []bool{false, true} {
			if got, err := seccomptest.Evaluate(intercepted(sockets), tt.arch, tt.number); err != nil || got != tt.want {
				t.Errorf("%s (%#x, %d): %#x, %v, want %#x", tt.what, tt.arch, tt.number, got, err, tt.want)
			}
		}
	}
	for _, tt := range []struct {
		what         string
		arch, number uint32
		arg          uint64
		want         uint32
	}{
		{"socket of IP", unix.AUDIT_ARCH_X86_64, 41, unix.AF_INET, ask},
		{"socket of x32", unix.AUDIT_ARCH_X86_64, 41 | seccomp.X32Bit, unix.AF_INET6, ask},
		{"of which the kernel takes 32 bits", unix.AUDIT_ARCH_X86_64, 41, 1<<32 | unix.AF_NETLINK, ask},
		{"socket of UNIX", unix.AUDIT_ARCH_X86_64, 41, unix.AF_UNIX, allow},
		{"socket", unix.AUDIT_ARCH_I386, 359, unix.AF_INET, ask},
		{"socketcall, connect", unix.AUDIT_ARCH_I386, 102, 3, allow},
		{"socket", unix.AUDIT_ARCH_AARCH64, 198, unix.AF_INET, ask},
		{"socket", unix.AUDIT_ARCH_ARM, 281, unix.AF_NETLINK, ask},
	} {
		for sockets, want := range map[bool]uint32{false: allow, true: tt.want} {
			if got, err := seccomptest.Evaluate(intercepted(sockets), tt.arch, tt.number, tt.arg); err != nil || got != want {
				t.Errorf("%s (%#x, %d): %#x, %v, want %#x", tt.what, tt.arch, tt.number, got, err, want)
			}
		}
	}
	if got, err := seccomptest.Evaluate(intercepted(false), unix.AUDIT_ARCH_I386, 102, 1); err != nil || got != ask {
		t.Errorf("socketcall for a socket: %#x, %v, want %#x", got, err, ask)
	}
}
