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

// runLimit is the time limit of one command.
const runLimit = 15 * time.Minute

// Command is what to run in a machine.
type Command struct {
	Args  []string // the command, found by PATH, and its arguments
	Env   []string // NAME=VALUE, in addition to the environment of a root login
	Stdin string   // the content of standard input
}

// Result describes the end of a command.
type Result struct {
	// Status is the exit status in a shell's form: 128 plus the number of the signal
	// if a signal ended the command.
	Status int
	// Output is the text that the command wrote to stdout and stderr, in order.
	Output string
}

// Run runs a command in the machine, on pipes, and waits for its end.
func (m *Machine) Run(t testing.TB, command Command) Result {
	t.Helper()
	running := m.Start(t, command)
	return running.Wait(t)
}

// Shell runs a shell script in the machine and returns its output. It fails the test
// if the script fails.
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
	output *os.File // not a pipe: a pipe would end only with the last background process
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

// Output returns the text that the command has written until now.
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

// environ returns the command with the environment of a root login. env(1) finds the
// program by PATH inside the machine.
func environ(command Command) *exec.Cmd {
	args := []string{"env", "-i", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "HISTFILE=",
		"TERM=xterm", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	args = append(args, command.Env...)
	return &exec.Cmd{Path: "/usr/bin/env", Args: append(args, command.Args...), Dir: "/root"}
}

// await returns the exit status of a command in a shell's form.
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

// The first thread of a process cannot end before the process. If it joined a
// machine, it would hold that machine's mounts for ever. So only main uses it.
func init() { runtime.LockOSThread() }

// spawn starts a command inside the machine's namespaces as a child of this process,
// so that no other process is between the test and its status and terminal. The
// channel receives the result of Wait.
func (m *Machine) spawn(cmd *exec.Cmd) (<-chan error, error) {
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// This thread never returns to the host's namespaces; it ends with the
		// goroutine. It must live as long as the command: PR_SET_PDEATHSIG sends
		// its signal when the parent thread ends.
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

// join moves this thread into the machine. Its child processes are in the machine's
// PID namespace; the thread itself stays outside of that namespace.
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
	// In a chroot, the root of the mount namespace is not the root of the machine.
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("cannot enter the machine's root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("cannot enter the machine's root: %w", err)
	}
	return nil
}
