package nosync

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// run evaluates a filter as the kernel does (struct seccomp_data in words).
func run(t *testing.T, filter []unix.SockFilter, number, arch, flags uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offsetNumber: number, offsetArch: arch, offsetFlags: flags}
	var a uint32
	for pc := 0; pc < len(filter); pc++ {
		in := filter[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			if a&in.K != 0 {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d is %#x", pc, in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestProgram(t *testing.T) {
	filter := program()
	expect := func(what string, number, arch, flags, want uint32) {
		t.Helper()
		if got := run(t, filter, number, arch, flags); got != want {
			t.Errorf("%s: %#x, want %#x", what, got, want)
		}
	}
	for _, a := range abis() {
		answered := map[uint32]bool{}
		for _, call := range a.calls {
			answered[call] = true
			expect(fmt.Sprintf("%#x call %d", a.arch, call), call, a.arch, 0, unix.SECCOMP_RET_ERRNO)
		}
		expect("msync, MS_SYNC", a.msync, a.arch, unix.MS_SYNC|unix.MS_INVALIDATE, unix.SECCOMP_RET_ERRNO)
		expect("msync, MS_ASYNC", a.msync, a.arch, unix.MS_ASYNC, unix.SECCOMP_RET_ALLOW)
		for call := range uint32(500) {
			if !answered[call] && call != a.msync {
				expect(fmt.Sprintf("%#x call %d", a.arch, call), call, a.arch, ^uint32(0), unix.SECCOMP_RET_ALLOW)
			}
		}
	}
	expect("x32 fsync", x32Bit|74, unix.AUDIT_ARCH_X86_64, 0, unix.SECCOMP_RET_ERRNO)
	expect("x32 write", x32Bit|1, unix.AUDIT_ARCH_X86_64, 0, unix.SECCOMP_RET_ALLOW)
	expect("another architecture", 74, unix.AUDIT_ARCH_S390X, 0, unix.SECCOMP_RET_ALLOW)
}

// asChild is the environment variable that makes this test binary the process
// that the kernel filters.
const asChild = "NOSYNC_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if err := filtered(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// filtered finds out what the kernel makes of the filter. On a descriptor that
// is not open every call fails that is carried out.
func filtered() error {
	runtime.LockOSThread()
	const closed = 1 << 20
	calls := []struct {
		name string
		call func() error
	}{
		{"fsync", func() error { return unix.Fsync(closed) }},
		{"fdatasync", func() error { return unix.Fdatasync(closed) }},
		{"syncfs", func() error { return unix.Syncfs(closed) }},
		{"sync_file_range", func() error { return unix.SyncFileRange(closed, 0, 0, 0) }},
		{"msync", func() error {
			_, _, errno := unix.Syscall(unix.SYS_MSYNC, 1, 1, unix.MS_SYNC) // an address that is none
			if errno != 0 {
				return errno
			}
			return nil
		}},
	}
	for _, c := range calls {
		if c.call() == nil {
			return fmt.Errorf("%s succeeds before the filter", c.name)
		}
	}
	// A test need not be root.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := Suppress(); err != nil {
		return err
	}
	for _, c := range calls {
		if err := c.call(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if err := unix.Fchmod(closed, 0); err != unix.EBADF {
		return fmt.Errorf("fchmod on no file = %v, want EBADF", err)
	}
	return nil
}

func TestKernel(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), asChild+"=1")
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
