package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The descriptors that Start passes to the init, before the ones to keep.
const (
	specFD   = 3
	resultFD = 4
)

// Main is the sandbox's init. It never returns.
func Main() {
	closeOnExec()
	o := outcome{}
	result, err := initialise(os.NewFile(specFD, "spec"))
	if err != nil {
		o.Error = err.Error()
	}
	o.Result = result
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

func initialise(input *os.File) (Result, error) {
	// Set up before the command exists: what the terminal sends to the whole
	// process group is the command's to act on.
	signals := relaySignals()
	var spec Spec
	if err := json.NewDecoder(input).Decode(&spec); err != nil {
		return Result{}, fmt.Errorf("cannot read the sandbox's description: %w", err)
	}
	input.Close()
	notes, err := assemble(&spec)
	if err != nil {
		return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	undoPolicy, err := placePolicy(spec)
	if err != nil {
		return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	pid, err := startCommand(spec)
	if err != nil {
		undoPolicy()
		return Result{}, err
	}
	go func() {
		for sig := range signals {
			_ = syscall.Kill(pid, sig.(syscall.Signal))
		}
	}()
	status, err := reap(pid)
	if err != nil {
		return Result{}, err
	}
	endOthers()
	undoPolicy()
	result := Result{Collected: collect(spec), Notes: notes}
	if status.Signaled() {
		result.Signal = status.Signal()
	} else {
		result.ExitCode = status.ExitStatus()
	}
	return result, nil
}

// relaySignals takes the signals that a terminal sends to a process group, so
// that they don't end the init, and returns those to be passed on. A handler,
// unlike an ignored signal, is not inherited through exec. A signal that was
// ignored from the start, as by nohup(1), stays so.
func relaySignals() <-chan os.Signal {
	mine := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(mine, sig)
		}
	}
	go func() {
		for range mine {
		}
	}()
	relayed := make(chan os.Signal, 8)
	signal.Notify(relayed, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	return relayed
}

// startCommand forks the command into the chroot.
func startCommand(spec Spec) (pid int, err error) {
	// The bounding set is the thread's, and a child has that of the thread
	// that forked it.
	runtime.LockOSThread()
	if err := dropCapabilities(); err != nil {
		return 0, err
	}
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

// collect reads the files that the supervisor asked for. Maintainer scripts
// wrote them: they may be anything.
func collect(spec Spec) map[string][]byte {
	collected := map[string][]byte{}
	root, err := os.OpenRoot(spec.MountDir)
	if err != nil {
		return collected
	}
	defer root.Close()
	for _, name := range spec.Collect {
		rel := "." + filepath.Clean("/"+name)
		if info, err := root.Lstat(rel); err != nil || !info.Mode().IsRegular() {
			continue
		}
		f, err := root.OpenFile(rel, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if data, err := io.ReadAll(io.LimitReader(f, collectLimit)); err == nil {
			collected[name] = data
		}
		f.Close()
	}
	return collected
}
