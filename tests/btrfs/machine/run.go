package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/expect"
)

// runLimit is how long one command may take.
const runLimit = 15 * time.Minute

// Command is what to run in a machine.
type Command struct {
	Args  []string // the command, found by PATH, and its arguments
	Env   []string // NAME=VALUE, beyond what a root login has
	Stdin string   // all that it reads
}

// Result is how a command ended.
type Result struct {
	// Status is the exit status as a shell sees it: 128 and the signal's
	// number where a signal ended the command.
	Status int
	// Output is what it wrote to stdout and stderr, in order.
	Output string
}

// Run runs a command in the machine, on pipes, and waits for it.
func (m *Machine) Run(t testing.TB, command Command) Result {
	t.Helper()
	running := m.Start(t, command)
	return running.Wait(t)
}

// Shell runs a shell script in the machine, fails the test if that fails, and
// returns what it printed.
func (m *Machine) Shell(t testing.TB, script string) string {
	t.Helper()
	result := m.Run(t, Command{Args: []string{"sh", "-ec", script}})
	if result.Status != 0 {
		t.Fatalf("%s: status %d:\n%s", script, result.Status, result.Output)
	}
	return result.Output
}

// Running is a command that runs on pipes.
type Running struct {
	// PID is its process id on the host.
	PID    int
	output *os.File // not a pipe, which would not end before all that was left behind
	ended  <-chan error
	cmd    *exec.Cmd
}

// Start starts a command in the machine, on pipes.
func (m *Machine) Start(t testing.TB, command Command) *Running {
	t.Helper()
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	running := &Running{cmd: environ(command), output: output}
	running.cmd.Stdin = strings.NewReader(command.Stdin)
	running.cmd.Stdout = output
	running.cmd.Stderr = output
	if running.ended, err = m.spawn(running.cmd); err != nil {
		t.Fatalf("cannot run %q: %v", command.Args, err)
	}
	running.PID = running.cmd.Process.Pid
	return running
}

// Wait waits until the command ends.
func (r *Running) Wait(t testing.TB) Result {
	t.Helper()
	status, err := await(r.cmd, r.ended)
	if err != nil {
		t.Fatalf("%q: %v; so far:\n%s", r.cmd.Args, err, r.Output(t))
	}
	return Result{Status: status, Output: r.Output(t)}
}

// Output returns what the command wrote so far.
func (r *Running) Output(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(r.output.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Expect waits until the command has written text.
func (r *Running) Expect(t testing.TB, text string) {
	t.Helper()
	ended := false
	wrote := func() bool { return strings.Contains(r.Output(t), text) }
	expect.Until(3*patience, func() bool {
		ended = r.cmd.Process.Signal(syscall.Signal(0)) != nil
		return wrote() || ended
	})
	if !wrote() {
		_ = r.cmd.Process.Kill()
		t.Fatalf("%q did not write %q but:\n%s", r.cmd.Args, text, r.Output(t))
	}
}

// environ makes the command of a root login: env(1) finds it by PATH inside.
func environ(command Command) *exec.Cmd {
	args := []string{"env", "-i", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "HISTFILE=",
		"TERM=xterm", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	args = append(args, command.Env...)
	return &exec.Cmd{Path: "/usr/bin/env", Args: append(args, command.Args...), Dir: "/root"}
}

// await returns the exit status of a command as a shell sees it.
func await(cmd *exec.Cmd, ended <-chan error) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-ended
		return 0, fmt.Errorf("did not end in %s", runLimit)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	state := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if state.Signaled() {
		return 128 + int(state.Signal()), nil
	}
	return state.ExitStatus(), nil
}

// The first thread of a process can't end, so one that has joined a machine
// would keep that machine's mounts for ever: it has to be nobody's but main's.
func init() { runtime.LockOSThread() }

// spawn starts a command inside the machine's namespaces as a child of this
// process, so that its status and its terminal are not seen through another
// process. The channel gets what Wait says.
func (m *Machine) spawn(cmd *exec.Cmd) (<-chan error, error) {
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// This thread leaves the host for good, and ends with the goroutine.
		// It lives as long as the command, for PR_SET_PDEATHSIG is about
		// the parent thread.
		runtime.LockOSThread()
		if err := m.join(); err != nil {
			started <- err
			return
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

// join moves this thread into the machine. Processes that it starts are in the
// machine's process namespace; it itself is not.
func (m *Machine) join() error {
	open := func(name string) (int, error) {
		return unix.Open(fmt.Sprintf("/proc/%d/%s", m.init, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	root, err := open("root")
	if err != nil {
		return fmt.Errorf("cannot find the machine's root: %w", err)
	}
	defer unix.Close(root)
	var spaces []int
	for _, name := range []string{"ipc", "uts", "pid", "mnt"} {
		fd, err := open("ns/" + name)
		if err != nil {
			return fmt.Errorf("cannot find the machine's name spaces: %w", err)
		}
		defer unix.Close(fd)
		spaces = append(spaces, fd)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("cannot leave the host's root: %w", err)
	}
	for _, fd := range spaces {
		if err := unix.Setns(fd, 0); err != nil {
			return fmt.Errorf("cannot join the machine: %w", err)
		}
	}
	// In a chroot, the root of the name space is not that of the machine.
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("cannot enter the machine's root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("cannot enter the machine's root: %w", err)
	}
	return nil
}
