package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a child process of the keeper.
type child struct {
	pid    int
	socket *os.File      // to the child
	ended  chan struct{} // closed when the keeper has waited for it; nil if another function waits
}

// The descriptors of a child after the standard ones.
const (
	toKeeperFD = 3
	decoyFD    = 4
	networkFD  = 5 // of the door: the network namespace to enter, if there is one
)

// origin has what all children of the keeper start from.
type origin struct {
	program *os.File // this program
	group   *os.File // the control group in which they start; nil for the keeper's
	decoy   *os.File // their future root
}

// start starts this program from memory. The first argument is its role. The files
// follow the descriptors that every child has.
func (o origin) start(args, env []string, files []*os.File, sys *syscall.SysProcAttr, more ...*os.File) (*child, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), args[0])
	defer theirs.Close()
	attr := &os.ProcAttr{Dir: "/", Env: env, Files: append(append(files, theirs, o.decoy), more...), Sys: sys}
	path, argv := fmt.Sprintf("/proc/self/fd/%d", o.program.Fd()), append([]string{Name}, args...)
	if o.group != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(o.group.Fd())
	}
	process, err := os.StartProcess(path, argv, attr)
	if o.group != nil && (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)) {
		// Linux has the flag since 5.7, and some containers refuse clone3(2).
		sys.UseCgroupFD = false
		process, err = os.StartProcess(path, argv, attr)
	}
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &child{pid: process.Pid, socket: os.NewFile(uintptr(pair[0]), args[0])}, nil
}

// startReaper starts PID 1 of a new namespace. When this process dies, the kernel kills
// PID 1 and all other processes of the namespace.
func (o origin) startReaper() (*child, error) {
	type outcome struct {
		child *child
		err   error
	}
	started := make(chan outcome)
	go func() {
		// The thread has the bounding set of PID 1, and for the kernel the end of this
		// thread is the end of PID 1's parent.
		runtime.LockOSThread()
		joinKeyring()
		err := limitCapabilities(reaperHas)
		var c *child
		if err == nil {
			// The directories of its threads in /proc, by their numbers, show its
			// network. Go's runtime opens /dev/null in place of missing standard
			// descriptors.
			c, err = o.start([]string{reapRole}, []string{}, []*os.File{o.decoy, o.decoy, o.decoy},
				&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL})
		}
		started <- outcome{c, err}
		if err == nil {
			select {}
		}
	}()
	s := <-started
	if s.err != nil {
		return nil, s.err
	}
	s.child.ended = make(chan struct{})
	go func() {
		defer close(s.child.ended)
		for {
			if _, err := syscall.Wait4(s.child.pid, nil, 0, nil); err != syscall.EINTR {
				return
			}
		}
	}()
	return s.child, nil
}

// enterDecoy makes the decoy the root of this process, a child of the keeper.
func enterDecoy() error {
	if err := unix.Fchdir(decoyFD); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return nil
}

// ready waits until PID 1 has closed its end of the socket.
func (c *child) ready() error {
	said, err := io.ReadAll(io.LimitReader(c.socket, 1<<16))
	if err == nil && len(said) > 0 {
		err = errors.New(string(said))
	}
	if err != nil {
		return fmt.Errorf("process 1 is not ready: %w", err)
	}
	return nil
}

func (c *child) kill() { c.signal(unix.SIGKILL) }

// signal sends PID 1 a signal, unless the keeper has waited for it.
func (c *child) signal(sig syscall.Signal) {
	select {
	case <-c.ended:
	default:
		_ = unix.Kill(c.pid, sig)
	}
}

// hasEnded reports whether a process of the namespace ended because PID 1 ended. The
// kernel reports PID 1's end only after the end of all others.
func (c *child) hasEnded(status syscall.WaitStatus) bool {
	if !status.Signaled() || status.Signal() != unix.SIGKILL {
		return false
	}
	select {
	case <-c.ended:
		return true
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

// inMemory returns this program as a sealed file in memory, which no process can
// change. A process that executes it shows no file of the running system as its
// /proc/PID/exe.
func inMemory() (*os.File, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	fd, err := unix.MemfdCreate(Name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	memory := os.NewFile(uintptr(fd), Name)
	if _, err := io.Copy(memory, self); err != nil {
		memory.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		memory.Close()
		return nil, os.NewSyscallError("F_ADD_SEALS", err)
	}
	return memory, nil
}
