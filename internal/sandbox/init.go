package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/nosync"
	"github.com/apt-be/apt-be/internal/syscalls"
)

// The descriptors that Start passes to the init, before the ones to keep.
const (
	specFD   = 3
	resultFD = 4
)

// secondStage is the argument that tells the second half of the init.
const secondStage = "run"

// Main is the sandbox's init. It never returns.
//
// It has two halves. The first puts the root together, for which it needs all
// capabilities. It then leaves the running system's root for an empty one and
// becomes the second by execve(2), which runs the command and has no more
// capabilities than that: there is nothing to be had from it.
func Main() {
	// Capabilities are a thread's, and so is what execve makes of them.
	runtime.LockOSThread()
	signals := catchSignals()
	var o outcome
	var err error
	if len(os.Args) == 3 && os.Args[1] == secondStage {
		closeOnExec()
		o.Result, err = runCommand(signals, os.Args[2])
	} else {
		o.Result, err = prepare(signals)
	}
	if err != nil {
		o.Error = err.Error()
	}
	if err := json.NewEncoder(os.NewFile(resultFD, "result")).Encode(o); err != nil {
		os.Exit(1) // the supervisor is gone, and so are we
	}
	os.Exit(0)
}

// closeOnExec keeps the supervisor's descriptors from the command: a pipe or
// a lock that lives on in a daemon would be waited for by somebody.
func closeOnExec() {
	// unix.CloseRange with CLOEXEC needs Linux 5.11.
	_ = unix.CloseRange(specFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// task is what the first half tells the second.
type task struct {
	Spec  Spec
	Notes []string
	// Mounts is the descriptor by which the init is asked about mounts; 0 for none.
	Mounts int
}

// prepare is the first half. It returns only if it failed, or if a signal
// came before the command was there to act on it.
func prepare(signals *signals) (Result, error) {
	var spec Spec
	input := os.NewFile(specFD, "spec")
	err := json.NewDecoder(input).Decode(&spec)
	input.Close()
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the sandbox's description: %w", err)
	}
	program, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	notes, err := assemble(&spec)
	if err == nil {
		err = isolate(&spec)
	}
	if err == nil && spec.NoSync {
		err = nosync.Suppress() // of this thread, which execve(2) makes the only one
	}
	mounts := 0
	if err == nil {
		// Where it can't be had, in some containers, hooks find a stand-in by PATH.
		if fd, err := syscalls.Intercept(false); err == nil {
			mounts = fd
		}
		err = dropCapabilities()
	}
	var file *os.File
	if err == nil {
		file, err = write(task{spec, notes, mounts})
	}
	if err == nil && mounts > 0 {
		_, err = unix.FcntlInt(uintptr(mounts), unix.F_SETFD, 0) // the second half has it
	}
	if err != nil {
		return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	defer file.Close() // not before the exec
	if sig := signals.came(); sig != 0 {
		return Result{Signal: sig, Notes: notes}, nil
	}
	argv := []string{InitName, secondStage, strconv.Itoa(int(file.Fd()))}
	err = syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", program), argv, os.Environ())
	return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
}

// isolate makes an empty file system, with the sandbox's root in it and no way
// to the running system's, the root of the init.
func isolate(spec *Spec) error {
	const inside = "/root"
	if err := unix.Mount("tmpfs", spec.TopDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, dir := range []string{inside, "/proc", "/old"} {
		if err := os.Mkdir(spec.TopDir+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(spec.MountDir, spec.TopDir+inside, "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", spec.TopDir+"/proc", "proc", quiet, ""); err != nil {
		return err
	}
	top, err := os.Open(spec.TopDir)
	if err != nil {
		return err
	}
	defer top.Close()
	if err := climb(spec.TopDir + "/old"); err != nil {
		return err
	}
	if err := top.Chdir(); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "old"); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Remove("/old"); err != nil {
		return err
	}
	spec.MountDir = inside
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=64k")
}

// climb makes the root of the name space this process's root. They are the
// same on a machine, but not where the running system is itself in a chroot:
// pivot_root(2) would then leave what is above that in reach of a second
// chroot. below is an empty directory somewhere in the present root.
func climb(below string) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// With its root below the working directory, nothing stops a process from
	// going up.
	if err := unix.Chroot(below); err != nil {
		return err
	}
	for {
		var here, above unix.Stat_t
		if err := unix.Stat(".", &here); err != nil {
			return err
		}
		if err := unix.Stat("..", &above); err != nil {
			return err
		}
		if here.Dev == above.Dev && here.Ino == above.Ino {
			return unix.Chroot(".")
		}
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
}

// write puts a task into a file that the second half inherits.
func write(t task) (*os.File, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("task", 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "task")
	if _, err := f.WriteAt(data, 0); err != nil {
		return nil, err
	}
	return f, nil
}

// runCommand is the second half. The task is in the file with the descriptor.
func runCommand(signals *signals, descriptor string) (Result, error) {
	var t task
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the sandbox's task: %w", err)
	}
	input := os.NewFile(uintptr(fd), "task")
	err = json.NewDecoder(input).Decode(&t)
	input.Close()
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the sandbox's task: %w", err)
	}
	if sig := signals.came(); sig != 0 {
		return Result{Signal: sig, Notes: t.Notes}, nil
	}
	if t.Mounts > 0 {
		proc, err := os.Open("/proc")
		if err != nil {
			return Result{}, err
		}
		go syscalls.Serve(t.Mounts, syscalls.Answers{Known: t.Spec.known(), Proc: proc})
	}
	before := observe(t.Spec)
	pid, err := startCommand(t.Spec)
	if err != nil {
		return Result{}, err
	}
	go func() {
		for sig := range signals.relayed {
			_ = syscall.Kill(pid, sig.(syscall.Signal))
		}
	}()
	status, err := reap(pid)
	if err != nil {
		return Result{}, err
	}
	endOthers()
	result := Result{Collected: before.collect(t.Spec), Spooled: spooled(t.Spec), Notes: t.Notes}
	if status.Signaled() {
		result.Signal = status.Signal()
	} else {
		result.ExitCode = status.ExitStatus()
	}
	return result, nil
}

// signals are what the init is sent.
type signals struct {
	relayed chan os.Signal // to be passed on to the command
	early   chan os.Signal // the first that came before there was a command
}

// catchSignals takes the signals that a terminal sends to a process group, so
// that they don't end the init: the command gets them too. A handler, unlike
// an ignored signal, is not inherited through exec. A signal that was ignored
// from the start, as by nohup(1), stays so.
func catchSignals() *signals {
	s := &signals{relayed: make(chan os.Signal, 8), early: make(chan os.Signal, 1)}
	terminal := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(terminal, sig)
		}
	}
	go func() {
		for sig := range terminal {
			select {
			case s.early <- sig:
			default:
			}
		}
	}()
	signal.Notify(s.relayed, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	return s
}

// came returns the signal that should keep the command from being started, or 0.
func (s *signals) came() syscall.Signal {
	select {
	case sig := <-s.early:
		return sig.(syscall.Signal)
	case sig := <-s.relayed:
		return sig.(syscall.Signal)
	default:
		return 0
	}
}

// startCommand forks the command into the chroot.
func startCommand(spec Spec) (pid int, err error) {
	dir := "/"
	if root, err := os.OpenRoot(spec.MountDir); err == nil {
		if info, err := root.Stat("." + filepath.Clean("/"+spec.Dir)); err == nil && info.IsDir() {
			dir = spec.Dir
		}
		root.Close()
	}
	process, err := os.StartProcess(spec.Path, spec.Args, &os.ProcAttr{
		Dir:   dir,
		Env:   spec.Env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Chroot: spec.MountDir},
	})
	if err != nil {
		return 0, fmt.Errorf("cannot run %s in the sandbox: %w", spec.Path, errors.Unwrap(err))
	}
	return process.Pid, nil
}

// reap waits for the command, and for the orphans that PID 1 inherits.
func reap(command int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return status, fmt.Errorf("cannot wait for the command in the sandbox: %w", err)
		case pid == command:
			return status, nil
		}
	}
}

// endOthers ends what the command left running, asking first: nothing may
// write to the root after the verdict on it.
func endOthers() {
	const grace = 2 * time.Second
	if syscall.Kill(-1, unix.SIGTERM) == unix.ESRCH {
		return
	}
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if noneLeft(syscall.WNOHANG) {
			return
		}
	}
	_ = syscall.Kill(-1, unix.SIGKILL)
	noneLeft(0)
}

// noneLeft reaps all that has ended and says whether no child is left.
func noneLeft(options int) bool {
	for {
		pid, err := syscall.Wait4(-1, nil, options, nil)
		if err == syscall.ECHILD {
			return true
		}
		if err == nil && pid == 0 {
			return false
		}
	}
}
