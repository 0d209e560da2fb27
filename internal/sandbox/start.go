package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/cgroup"
	"github.com/apt-be/apt-be/internal/streams"
	"github.com/apt-be/apt-be/internal/terminal"
)

// Stdio has the three standard streams of a command. If all are nil, they are this
// process's, with its terminal.
type Stdio struct{ In, Out, Err *os.File }

// Process is a sandbox with a command in it.
type Process struct {
	keeper  *exec.Cmd
	socket  *os.File // to the keeper
	reports *json.Decoder
	streams *streams.Streams
	master  *os.File        // nil without a terminal
	relay   *terminal.Relay // the same
	group   *cgroup.Group   // nil without control groups

	mu     sync.Mutex // guards the socket
	orders *json.Encoder
	killed bool
}

// Start starts a sandbox. The keep files, such as locks, stay open until no process
// runs in the sandbox, even if this process is killed.
func Start(spec Spec, stdio Stdio, keep ...*os.File) (p *Process, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot start the sandbox: %w", err)
		}
	}()
	ours := stdio == Stdio{}
	if ours {
		stdio = Stdio{os.Stdin, os.Stdout, os.Stderr}
	}
	p = &Process{}
	if p.streams, err = streams.Take(stdio.In, stdio.Out, stdio.Err); err != nil {
		return nil, err
	}
	b := beginning{Spec: spec, Streams: p.streams.Describe()}
	b.Terminal = hasTerminal(b.Streams) || ours && p.streams.User() != nil
	b.Background = b.Terminal && !allTerminals(b.Streams)
	if err := p.limit(); err != nil {
		_ = p.streams.Finish()
		return nil, err
	}
	if err := p.startKeeper(spec.Env, keep); err != nil {
		_ = p.streams.Finish()
		p.release()
		return nil, err
	}
	p.streams.Started()
	if err := p.begin(b); err != nil {
		_ = p.Kill()
		_, waitErr := p.Wait()
		if waitErr != nil {
			err = waitErr // the keeper's error has the reason
		}
		return nil, err
	}
	return p, nil
}

func hasTerminal(all [3]streams.Stream) bool {
	for _, s := range all {
		if s.Kind == streams.Terminal {
			return true
		}
	}
	return false
}

// allTerminals reports whether the command has the terminal to itself. In a pipeline,
// or with a redirected stream, it may not.
func allTerminals(all [3]streams.Stream) bool {
	for _, s := range all {
		if s.Kind != streams.Terminal {
			return false
		}
	}
	return true
}

// sandboxes counts the sandboxes that this process has started.
var sandboxes atomic.Int64

// limit creates the control group of the sandbox, if the system has control groups.
// Without one, as in some containers, the keeper still ends all processes.
func (p *Process) limit() error {
	name := fmt.Sprintf("%d-%d", os.Getpid(), sandboxes.Add(1))
	group, err := cgroup.Make(name, cgroup.Default())
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return err
	}
	p.group = group
	return nil
}

func (p *Process) startKeeper(env []string, keep []*os.File) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "keeper")
	defer theirs.Close()
	p.socket = os.NewFile(uintptr(pair[0]), "sandbox")
	p.orders, p.reports = json.NewEncoder(p.socket), json.NewDecoder(p.socket)
	extra := []*os.File{theirs}
	if p.group != nil {
		extra = append(extra, p.group.Dir())
	} else {
		extra = append(extra, theirs) // an extra file must take its place
	}
	files := p.streams.Files()
	p.keeper = exec.Command("/proc/self/exe")
	p.keeper.Args = []string{Name, keepRole}
	p.keeper.Env = env
	p.keeper.Stdin, p.keeper.Stdout, p.keeper.Stderr = files[0], files[1], files[2]
	p.keeper.ExtraFiles = append(extra, keep...)
	p.keeper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true,
	}
	return p.keeper.Start()
}

// program is this program in memory, for all sandboxes that this process starts.
var program = sync.OnceValues(inMemory)

// begin sends the keeper its task, and takes the terminal that the keeper created.
func (p *Process) begin(b beginning) error {
	memory, err := program() // in parallel with the keeper's start
	if err != nil {
		return err
	}
	if err := sendFile(p.socket, memory); err != nil {
		return err
	}
	if err := p.send(b); err != nil {
		return err
	}
	master, err := receiveFile(p.socket)
	if err != nil || master == nil {
		return err
	}
	p.master = master
	user := p.streams.User()
	if err := terminal.Copy(user, master); err != nil {
		return err
	}
	output, keepSettings := p.streams.Output()
	var wanted func()
	if b.Background {
		// If the keeper has ended, listen notices.
		wanted = func() { _ = p.send(order{Foreground: true}) }
	}
	if p.relay, err = terminal.Start(user, output, master, keepSettings, wanted); err != nil {
		return err
	}
	return p.send(order{Continue: true})
}

func (p *Process) send(v any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orders.Encode(v)
}

// Kill ends the sandbox, with all processes in it.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	return unix.Shutdown(int(p.socket.Fd()), unix.SHUT_WR)
}

func (p *Process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// Signal sends a signal to the command. The signals of a terminal go to its whole
// process group.
func (p *Process) Signal(sig syscall.Signal) error { return p.send(order{Signal: sig}) }

// Own reports whether a signal to this process came from its own terminal's relay. The
// command has already received such a signal.
func (p *Process) Own(sig os.Signal) bool { return p.relay != nil && p.relay.Own(sig) }

// Wait waits until the command and all other processes inside have ended. An error
// means that the command did not run; a killed sandbox is a Result.
func (p *Process) Wait() (Result, error) {
	defer p.release()
	end, err := p.listen()
	state := p.wait()
	if err != nil && p.group != nil {
		// PID 1 dies with the keeper, and all others with it, but no process has waited
		// for their end.
		_ = p.group.Kill()
	}
	finishErr := p.finish()
	switch {
	case errors.Is(err, io.EOF) && p.wasKilled():
		return Result{Killed: true, Signal: unix.SIGKILL}, nil
	case errors.Is(err, io.EOF) && state.Signaled():
		return Result{Killed: true, Signal: state.Signal()}, nil
	case err != nil:
		return Result{}, fmt.Errorf("cannot learn how the sandbox ended: %w", err)
	case end.Error != "":
		return Result{}, errors.New(end.Error)
	}
	if finishErr != nil {
		end.Result.Notes = append(end.Result.Notes, finishErr.Error())
	}
	return end.Result, nil
}

// listen waits for the last report and returns it. It stops and continues together with
// the command.
func (p *Process) listen() (report, error) {
	for {
		var r report
		if err := p.reports.Decode(&r); err != nil || r.Stopped == 0 {
			return r, err
		}
		if p.relay != nil { // without a terminal, no shell could continue it
			p.relay.Suspend(r.Stopped)
		}
		if err := p.send(order{Continue: true}); err != nil {
			return r, err
		}
	}
}

func (p *Process) wait() syscall.WaitStatus {
	if err := p.keeper.Wait(); err != nil && p.keeper.ProcessState == nil {
		return 0
	}
	return p.keeper.ProcessState.Sys().(syscall.WaitStatus)
}

// finish writes the buffered output, and gives the terminal back to the user.
func (p *Process) finish() error {
	var err error
	if p.relay != nil {
		err = p.relay.Finish()
	}
	if p.master != nil {
		p.master.Close()
		p.master = nil
	}
	return errors.Join(err, p.streams.Finish())
}

// release closes the files of a sandbox that has ended or never started.
func (p *Process) release() {
	if p.socket != nil {
		p.socket.Close()
	}
	if p.group != nil {
		_ = p.group.Remove()
		p.group = nil
	}
}

// Run calls Start and Wait.
func Run(spec Spec, stdio Stdio, keep ...*os.File) (Result, error) {
	p, err := Start(spec, stdio, keep...)
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}
