package nosync

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
	"github.com/apt-be/apt-be/internal/seccomp/seccomptest"
)

// abis are the suppressed calls of each ABI, by number.
var abis = []struct {
	arch  uint32
	calls []uint32 // fsync, fdatasync, sync, syncfs, sync_file_range
	msync uint32
}{
	{unix.AUDIT_ARCH_X86_64, []uint32{74, 75, 162, 306, 277}, 26},
	{unix.AUDIT_ARCH_I386, []uint32{118, 148, 36, 344, 314}, 144},
	{unix.AUDIT_ARCH_AARCH64, []uint32{82, 83, 81, 267, 84}, 227},
	{unix.AUDIT_ARCH_ARM, []uint32{118, 148, 36, 373, 341}, 144},
}

func TestProgram(t *testing.T) {
	filter := program()
	expect := func(what string, number, arch, flags, want uint32) {
		t.Helper()
		if got, err := seccomptest.Evaluate(filter, arch, number, 0, 0, uint64(flags)); err != nil || got != want {
			t.Errorf("%s: %#x, %v, want %#x", what, got, err, want)
		}
	}
	for _, a := range abis {
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
	expect("x32 fsync", seccomp.X32Bit|74, unix.AUDIT_ARCH_X86_64, 0, unix.SECCOMP_RET_ERRNO)
	expect("x32 write", seccomp.X32Bit|1, unix.AUDIT_ARCH_X86_64, 0, unix.SECCOMP_RET_ALLOW)
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

// filtered checks the effect of the filter in the kernel. On a closed descriptor, every
// executed call fails.
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
			_, _, errno := unix.Syscall(unix.SYS_MSYNC, 1, 1, unix.MS_SYNC) // an invalid address
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
	// so that the test needs no root
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := Install(); err != nil {
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
