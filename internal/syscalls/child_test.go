package syscalls

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asChild is the environment variable that makes this test binary one of children: a
// process with a filter.
const asChild = "SYSCALLS_CHILD"

var children = map[string]func() error{
	"denied":  denying,
	"network": networking,
}

func TestMain(m *testing.M) {
	child := children[os.Getenv(asChild)]
	if child == nil {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// childCommand returns the command of one of children; apart gives it a network
// namespace of its own. The test does not need root.
func childCommand(name string, apart bool) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if apart {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
	}
	return cmd
}

// filterable allows a process that is not root to install filters.
func filterable() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// check is a call with its expected error.
type check struct {
	what string
	call func() error
	want error // nil for success
}

func (c check) run() error {
	if err := c.call(); err != c.want {
		return fmt.Errorf("%s: %v, want %v", c.what, err, c.want)
	}
	return nil
}

func errnoOrNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
