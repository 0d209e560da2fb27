package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/streams"
	"github.com/apt-be/apt-be/internal/syscalls"
)

// The descriptors that Start passes to the keeper, before the ones to keep open.
const (
	socketFD = 3
	groupFD  = 4 // the directory of the control group; the socket again if there is none
)

// grace is the time that remaining processes have to end by themselves.
const grace = 2 * time.Second

// keeper is the process that keeps a sandbox.
type keeper struct {
	beginning
	socket  *os.File      // to the supervisor
	orders  *json.Decoder // from the supervisor
	program *os.File      // this program, in memory
	greeted bool          // the terminal has been sent to the supervisor

	terminal *pty     // nil without a terminal
	proc     *os.File // the /proc of the keeper's own PID namespace
	reaper   *child   // PID 1
	door     *child   // becomes the command
	notes    []string

	mu      sync.Mutex    // guards the next two fields
	command int           // the PID of the command; 0 before its start and after its end
	early   []order       // the orders that arrived before the start
	proceed chan struct{} // closed by the first order to continue, and at the end of the orders
}

// keep runs the keeper. It never returns.
func keep() {
	catchSignals()
	k := &keeper{socket: os.NewFile(socketFD, "supervisor"), proceed: make(chan struct{})}
	k.orders = json.NewDecoder(k.socket)
	var end report
	var err error
	end.Result, err = k.run()
	if err != nil {
		end.Error = err.Error()
	}
	k.endAll()
	if !k.greeted {
		_ = sendFile(k.socket, nil)
	}
	send(k.socket, end)
	os.Exit(0)
}

// run runs the command and returns how it ended.
func (k *keeper) run() (Result, error) {
	var err error
	if k.program, err = receiveFile(k.socket); err == nil {
		err = k.orders.Decode(&k.beginning)
	}
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the sandbox's description: %w", err)
	}
	if err := k.prepare(); err != nil {
		return Result{}, fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	before := observe(insideDir, k.Spec)
	if k.terminal != nil {
		<-k.proceed // the supervisor copies the settings and size of the user's terminal
	}
	if err := k.letIn(); err != nil {
		return Result{}, err
	}
	status, err := k.await()
	if err != nil {
		return Result{}, fmt.Errorf("cannot wait for the command in the sandbox: %w", err)
	}
	killed := k.reaper.hasEnded(status)
	k.endAll()
	if killed {
		return Result{Killed: true, Signal: unix.SIGKILL, Notes: k.notes}, nil
	}
	result := Result{Collected: before.collect(insideDir, k.Spec), Spooled: spooled(insideDir, k.Spec), Notes: k.notes}
	if status.Signaled() {
		result.Signal = status.Signal()
	} else {
		result.ExitCode = status.ExitStatus()
	}
	return result, nil
}

// prepare assembles the root, and starts PID 1 and the door, which then wait.
func (k *keeper) prepare() error {
	if err := closeOnExec(socketFD); err != nil {
		return err
	}
	joinKeyring()
	place, err := newDecoy(k.Spec.Dir)
	if err != nil {
		return err
	}
	if k.Terminal {
		if k.terminal, err = openPTY(place.dir(ptsDir)); err != nil {
			return err
		}
	}
	if err := k.greet(); err != nil {
		return err
	}
	defer k.program.Close()
	from := origin{program: k.program, group: k.group()}
	if from.decoy, err = os.Open(place.path); err != nil {
		return err
	}
	defer from.decoy.Close()
	if k.reaper, err = from.startReaper(); err != nil {
		return err
	}
	go k.obey()
	if k.door, err = k.startDoor(from); err != nil {
		return err
	}
	// The door and PID 1 start in parallel.
	if k.notes, err = assemble(&k.Spec, place); err != nil {
		return err
	}
	if k.proc, err = os.Open("/proc"); err != nil {
		return err
	}
	if err := place.enter(); err != nil {
		return err
	}
	return k.reaper.ready()
}

// group returns the directory of the control group, or nil if there is none.
func (k *keeper) group() *os.File {
	var st unix.Stat_t
	if err := unix.Fstat(groupFD, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return os.NewFile(groupFD, "control group")
}

// greet sends the supervisor its side of the terminal.
func (k *keeper) greet() error {
	var master *os.File
	if k.terminal != nil {
		master = k.terminal.master
		defer func() { k.terminal.master.Close() }()
	}
	k.greeted = true
	return sendFile(k.socket, master)
}

// startDoor starts the door in PID 1's namespace, in a process group of its own in the
// keeper's session. The keeper is its parent, so the group is not orphaned, and Ctrl-Z
// can stop it (setpgid(2)).
func (k *keeper) startDoor(from origin) (*child, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", k.reaper.pid))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWPID); err != nil {
		return nil, os.NewSyscallError("setns", err)
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	sys := &syscall.SysProcAttr{Setpgid: true}
	if k.terminal != nil {
		for i, s := range k.Streams {
			if s.Kind == streams.Terminal {
				files[i] = k.terminal.slave
			}
		}
		if !k.Background {
			sys.Foreground, sys.Ctty = true, int(k.terminal.slave.Fd())
		}
	}
	if !k.Spec.alone() {
		return from.start([]string{doorRole}, os.Environ(), files, sys)
	}
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", k.reaper.pid))
	if err != nil {
		return nil, err
	}
	defer network.Close()
	return from.start([]string{doorRole, aloneOption}, os.Environ(), files, sys, network)
}

// letIn sends the door its task, and returns when the door has become the command.
func (k *keeper) letIn() error {
	t := task{Spec: k.Spec, Streams: k.Streams}
	if err := json.NewEncoder(k.door.socket).Encode(t); err != nil {
		return fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	listener, err := receiveFile(k.door.socket)
	if err == nil && listener != nil {
		go syscalls.Serve(listener, k.answers())
	}
	// execve(2) closes the socket.
	said, readErr := io.ReadAll(io.LimitReader(k.door.socket, 1<<16))
	switch {
	case len(said) > 0:
		return errors.New(string(said))
	case readErr != nil:
		return fmt.Errorf("cannot set up the sandbox: %w", readErr)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.command = k.door.pid
	for _, o := range k.early {
		k.pass(o)
	}
	return nil
}

// answers returns the answers to system calls that the keeper gives instead of the
// kernel.
func (k *keeper) answers() syscalls.Answers {
	return syscalls.Answers{Known: knownAt(insideDir), Proc: k.proc, Sockets: k.Spec.downloads()}
}

// obey follows the supervisor's orders. When they end, the sandbox ends.
func (k *keeper) obey() {
	proceed := sync.OnceFunc(func() { close(k.proceed) })
	defer proceed()
	for {
		var o order
		if err := k.orders.Decode(&o); err != nil {
			k.reaper.kill()
			return
		}
		if o.Continue {
			proceed()
			o.Signal = unix.SIGCONT
		}
		k.relay(o)
	}
}

// relay follows an order for the command, as soon as the command runs.
func (k *keeper) relay(o order) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.command == 0 {
		k.early = append(k.early, o)
		return
	}
	k.pass(o)
}

// pass moves the command to the foreground, or sends it a signal. The signals of a
// terminal go to the command's process group.
func (k *keeper) pass(o order) {
	if o.Foreground && k.terminal != nil {
		_ = k.terminal.foreground(k.command)
	}
	if o.Signal == 0 {
		return
	}
	to := k.command
	switch o.Signal {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGCONT:
		to = -to
	}
	_ = unix.Kill(to, o.Signal)
}

// await waits until the command has ended, and reports its stops to the supervisor.
func (k *keeper) await() (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		stopped, err := k.wait(&status)
		switch {
		case stopped:
			send(k.socket, report{Stopped: status.StopSignal()})
		case err == nil:
			return status, nil
		case err != syscall.EINTR:
			return status, err
		}
	}
}

// wait waits for a change of the command. After the command's end its PID may belong to
// another process.
func (k *keeper) wait(status *syscall.WaitStatus) (stopped bool, err error) {
	// WNOWAIT: the PID stays reserved until k.command is reset.
	var info unix.Siginfo
	err = unix.Waitid(unix.P_PID, k.door.pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, err := syscall.Wait4(k.door.pid, status, unix.WUNTRACED|unix.WNOHANG, nil)
	if err == nil && pid == 0 { // it was stopped, and already continues
		err = syscall.EINTR
	}
	if err != nil {
		return false, err
	}
	if status.Stopped() {
		return true, nil
	}
	k.door, k.command = nil, 0
	return false, nil
}

// endAll ends the remaining processes, first with SIGTERM: no process may write to the
// root after its examination.
func (k *keeper) endAll() {
	if k.reaper == nil {
		return
	}
	if k.door != nil {
		k.reaper.kill()
		_, _ = syscall.Wait4(k.door.pid, nil, 0, nil)
		k.door = nil
	}
	k.reaper.signal(endOthers)
	select {
	case <-k.reaper.ended:
	case <-time.After(grace):
		k.reaper.kill()
		<-k.reaper.ended
	}
	if k.terminal != nil {
		k.terminal.slave.Close()
	}
}
