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

// Stdio are the three standard streams of a command. Where all are nil they are
// this process's, with its terminal.
type Stdio struct{ In, Out, Err *os.File }

// Process is a sandbox with a command in it.
type Process struct {
	keeper  *exec.Cmd
	socket  *os.File // to the keeper
	reports *json.Decoder
	streams *streams.Streams
	master  *os.File        // nil without a terminal
	relay   *terminal.Relay // the same
	group   *cgroup.Group   // nil where there are none

	mu     sync.Mutex // guards what is sent
	orders *json.Encoder
	killed bool
}

// Start starts a sandbox. The keep files, locks, stay open until nothing runs in
// it any more, even if this process is killed.
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
			err = waitErr // the keeper knows better why
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

// allTerminals says whether the command is alone at the terminal: in a pipeline it is
// not, and with a stream that leads elsewhere it need not be.
func allTerminals(all [3]streams.Stream) bool {
	for _, s := range all {
		if s.Kind != streams.Terminal {
			return false
		}
	}
	return true
}

// sandboxes counts those that this process has started.
var sandboxes atomic.Int64

// limit makes the control group of the sandbox, where there are any. In a container
// there may be none; what is inside is ended all the same.
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
		extra = append(extra, theirs) // its place has to be taken
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

// begin tells the keeper what to do, and takes the terminal that it has made.
func (p *Process) begin(b beginning) error {
	memory, err := program() // while the keeper gets ready
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
		// If the keeper has gone, listen will see.
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

// Kill ends the sandbox, with all that runs in it.
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

// Signal sends a signal to the command: to its whole process group if a terminal
// would.
func (p *Process) Signal(sig syscall.Signal) error { return p.send(order{Signal: sig}) }

// Own says whether a signal that this process has got came from its own terminal's
// relay: the command has had it then.
func (p *Process) Own(sig os.Signal) bool { return p.relay != nil && p.relay.Own(sig) }

// Wait waits until the command and all that it left running have ended. An
// error means that the command did not run; a sandbox that was killed is a
// Result.
func (p *Process) Wait() (Result, error) {
	defer p.release()
	end, err := p.listen()
	state := p.wait()
	if err != nil && p.group != nil {
		// PID 1 dies with the keeper, and all others with it, but nobody has waited.
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

// listen waits for the end, which it returns, and stops and goes on with the command.
func (p *Process) listen() (report, error) {
	for {
		var r report
		if err := p.reports.Decode(&r); err != nil || r.Stopped == 0 {
			return r, err
		}
		if p.relay != nil { // without a terminal nobody is there to let it go on
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

// finish writes what is on its way, and gives the user the terminal back.
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

// release lets go of what a sandbox that has ended, or never began, had.
func (p *Process) release() {
	if p.socket != nil {
		p.socket.Close()
	}
	if p.group != nil {
		_ = p.group.Remove()
		p.group = nil
	}
}

// Run is Start and Wait.
func Run(spec Spec, stdio Stdio, keep ...*os.File) (Result, error) {
	p, err := Start(spec, stdio, keep...)
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}
