package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// limits bound a command that examines a root. The root's packages installed the
// command, so it cannot be trusted.
type limits struct {
	time   time.Duration
	output int64 // in bytes
}

// examination allows a hundred times the resources that a large system needs on a slow
// machine.
var examination = limits{10 * time.Minute, 1 << 20}

// running is a started command.
type running interface {
	// Wait blocks until the command ends and reports whether it failed. An error means
	// that the result is unknown.
	Wait() (failed bool, err error)
	Kill() error
}

// run starts a command with an output file and returns the output. If the command
// exceeds a limit, or if ctx ends, run kills it and returns an error.
func (l limits) run(ctx context.Context, name string, start func(out *os.File) (running, error)) (said []byte, failed bool, err error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, false, err
	}
	defer in.Close()
	if err := ctx.Err(); err != nil {
		out.Close()
		return nil, false, fmt.Errorf("%s did not run, because of a signal", name)
	}
	ctx, tooLong := context.WithTimeoutCause(ctx, l.time, fmt.Errorf("%s was killed after %v", name, l.time))
	defer tooLong()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	command, err := start(out)
	out.Close()
	if err != nil {
		return nil, false, err
	}
	alive := context.AfterFunc(ctx, func() { _ = command.Kill() })
	read := make(chan []byte)
	go func() {
		data, _ := io.ReadAll(io.LimitReader(in, l.output+1))
		if int64(len(data)) > l.output {
			end(fmt.Errorf("%s was killed: it printed more than %d bytes", name, l.output))
			data = data[:l.output]
		}
		_, _ = io.Copy(io.Discard, in)
		read <- data
	}()
	failed, err = command.Wait()
	alive()
	// A background process may keep the output open.
	_ = in.SetReadDeadline(time.Now().Add(time.Second))
	said = <-read
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.Canceled):
		err = fmt.Errorf("%s was killed by a signal", name)
	case cause != nil:
		err = cause
	}
	return said, failed, err
}

// inSandbox is a command in a sandbox.
type inSandbox struct{ *sandbox.Process }

func (p inSandbox) Wait() (failed bool, err error) {
	result, err := p.Process.Wait()
	return result.ExitCode != 0 || result.Signal != 0, err
}

// outside is a command of the running system, in its own process group.
type outside struct{ *exec.Cmd }

func (c outside) Wait() (failed bool, err error) {
	err = c.Cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, nil
	}
	return err != nil, err
}

func (c outside) Kill() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }

// Examine runs a command in the build's sandbox and returns its output. argv builds the
// command from the options that carry the settings inside.
func (l *Launcher) Examine(ctx context.Context, build *be.Build, name string, settings Settings, command func(options []string) []string) (said []byte, failed bool, err error) {
	spec, err := l.Spec(RootOf(build), "", nil)
	if err != nil {
		return nil, false, err
	}
	spec.Args = command(settings.give(&spec))
	spec.Path = spec.Args[0]
	spec.ForeignMounts = nil // only this root is examined, and nothing may be written
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, false, err
	}
	defer null.Close()
	said, failed, err = examination.run(ctx, name, func(out *os.File) (running, error) {
		p, err := sandbox.Start(spec, sandbox.Stdio{In: null, Out: out, Err: out}, build.LockFile())
		return inSandbox{p}, err
	})
	return said, failed, err
}

// ExamineRunning runs a command in the running system and returns its output.
func ExamineRunning(ctx context.Context, name string, argv []string) (said []byte, failed bool, err error) {
	said, failed, err = examination.run(ctx, name, func(out *os.File) (running, error) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return outside{cmd}, cmd.Start()
	})
	return said, failed, err
}
