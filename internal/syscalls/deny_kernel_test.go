package syscalls

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

func TestDenyInTheKernel(t *testing.T) {
	if out, err := childCommand("denied", false).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// denying checks the effect of Deny in the kernel. The arguments of calls that must be
// refused are invalid, so that the calls have no effect if they are executed.
func denying() error {
	const bad = ^uintptr(0)
	raw := func(number uintptr, args ...uintptr) func() error {
		all := [6]uintptr{bad, bad, bad, bad, bad, bad}
		copy(all[:], args)
		return func() error {
			_, _, errno := unix.Syscall6(number, all[0], all[1], all[2], all[3], all[4], all[5])
			return errnoOrNil(errno)
		}
	}
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	name, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	// The terminal becomes the controlling terminal, so that the calls need no
	// capability.
	tty, err := unix.Open(fmt.Sprintf("/dev/pts/%d", name), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	letters := []byte("x\n")
	const moreBits = math.MaxUint &^ math.MaxUint32 // zero in a 32-bit program
	typing := func(command uint) func() error {
		return func() error {
			for i := range letters {
				_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(tty), uintptr(command), addressOf(&letters[i]))
				if errno != 0 {
					return errno
				}
			}
			return nil
		}
	}
	if err := typing(tiocsti)(); err != nil && !errors.Is(err, unix.EIO) { // EIO: dev.tty.legacy_tiocsti is 0
		return fmt.Errorf("TIOCSTI before the filter: %w", err)
	}
	denied := []check{
		{"TIOCSTI", typing(tiocsti), unix.EPERM},
		{"TIOCSTI with more bits", typing(moreBits | tiocsti), unix.EPERM},
		{"TIOCLINUX", typing(tioclinux), unix.EPERM},
		{"TIOCSETD", typing(tiocsetd), unix.EPERM},
		{"SCHED_FIFO", raw(unix.SYS_SCHED_SETSCHEDULER, bad, 1), unix.EPERM},
		{"SCHED_RR with a reset", raw(unix.SYS_SCHED_SETSCHEDULER, bad, 0x40000002), unix.EPERM},
		{"unshare of the user", raw(unix.SYS_UNSHARE, bad), unix.EPERM},
		{"clone of the user", raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS|unix.CLONE_NEWNS), unix.EPERM},
		{"clone3", raw(unix.SYS_CLONE3), unix.ENOSYS},
		{"a socket of virtual machines", raw(unix.SYS_SOCKET, afVsock, unix.SOCK_STREAM, 0), unix.EAFNOSUPPORT},
	}
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "386": unix.AUDIT_ARCH_I386}[runtime.GOARCH]
	for _, name := range refused {
		for _, number := range seccomp.Numbers(arch, name) {
			// vhangup has an effect even without arguments. This process cannot make
			// calls of x32.
			if name != "vhangup" && number < 512 {
				denied = append(denied, check{name, raw(uintptr(number)), unix.EPERM})
			}
		}
	}
	if err := filterable(); err != nil {
		return err
	}
	// Without the filter, the kernel's answers differ.
	for _, c := range []check{
		{"keyctl", raw(unix.SYS_KEYCTL), unix.EOPNOTSUPP},
		{"add_key", raw(unix.SYS_ADD_KEY), unix.EINVAL},
		{"setns", raw(unix.SYS_SETNS), unix.EBADF},
		{"sched_setattr", raw(unix.SYS_SCHED_SETATTR), unix.EINVAL},
		{"clone of the user", raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS|unix.CLONE_NEWNS), unix.EINVAL},
	} {
		if err := c.run(); err != nil {
			return fmt.Errorf("before the filter: %w", err)
		}
	}
	if err := Deny(); err != nil {
		return err
	}
	for _, c := range append(denied,
		check{"a window's size", func() error { _, err := unix.IoctlGetWinsize(tty, unix.TIOCGWINSZ); return err }, nil},
		check{"SCHED_BATCH", func() error {
			param := [1]int32{}
			_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, 3, addressOf(&param[0]))
			return errnoOrNil(errno)
		}, nil},
		check{"unshare of the directory", func() error { return unix.Unshare(unix.CLONE_FS) }, nil},
		check{"a socket of UNIX", func() error { return closing(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }, nil},
		check{"a program", exec.Command("/bin/sh", "-c", "sleep 0 | cat & wait").Run, nil},
	) {
		if err := c.run(); err != nil {
			return err
		}
	}
	return nil
}

func closing(fd int, err error) error {
	if err == nil {
		return unix.Close(fd)
	}
	return err
}
