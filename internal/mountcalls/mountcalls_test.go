package mountcalls

import (
	"testing"

	"golang.org/x/sys/unix"
)

// run carries a filter out for one system call (linux/filter.h).
func run(t *testing.T, filter []unix.SockFilter, arch, number uint32) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(filter); i++ {
		f := filter[i]
		switch f.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = map[uint32]uint32{offsetArch: arch, offsetNumber: number}[f.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= f.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == f.K {
				i += int(f.Jt)
			} else {
				i += int(f.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return f.K
		default:
			t.Fatalf("instruction %d has the code %#x", i, f.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestProgram(t *testing.T) {
	const allow, ask = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_USER_NOTIF
	missing := unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for _, tt := range []struct {
		what         string
		arch, number uint32
		want         uint32
	}{
		{"mount", unix.AUDIT_ARCH_X86_64, 165, ask},
		{"umount2", unix.AUDIT_ARCH_X86_64, 166, ask},
		{"mount of x32", unix.AUDIT_ARCH_X86_64, 165 | x32Bit, ask},
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
		if got := run(t, program(), tt.arch, tt.number); got != tt.want {
			t.Errorf("%s (%#x, %d): %#x, want %#x", tt.what, tt.arch, tt.number, got, tt.want)
		}
	}
}
