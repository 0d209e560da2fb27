// Package terminal relays between the user's terminal and the master of another
// terminal, on which a command runs. The command therefore cannot affect the user's
// terminal: it cannot type into it (TIOCSTI), hang it up or change its mode.
package terminal

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Relay connects the user's terminal with the master of another one.
//
// While this process is in the foreground of the user's terminal, that terminal is in
// raw mode and passes on each key: echo, line editing and signals are the other
// terminal's. In the background, reading or changing the user's terminal would stop
// this process (SIGTTIN, SIGTTOU), so Relay does neither; output continues.
//
// A command in a pipeline (`apt-get -y upgrade | less`) starts in the background of its
// terminal. Until it wants to read, the user's terminal is for the other processes: see
// Start.
//
// A program with a Relay must not change SIGTSTP: Suspend needs it to stop this
// process. The methods of a nil *Relay do the same without a terminal.
type Relay struct {
	user   user
	out    int // the destination of output
	master int

	mutex sync.Mutex
	waker int // an eventfd(2), -1 after Finish

	input  []byte // the user's input that master has not taken
	quoted bool   // the next character of input stands for itself: VLNEXT
	output []byte // master's output that out has not taken
	buffer []byte // the memory of output

	wanted   func() // see Start
	requests chan request
	signals  chan os.Signal
	goesOn   atomic.Bool    // this process may have been stopped, and continues
	deaf     chan struct{}  // closed when signals is no longer read
	own      [2]atomic.Bool // see Own

	finish sync.Once
	done   chan struct{} // closed at the end of the relay
	err    error         // of the relay; valid after done is closed
}

// request is a request of Suspend or Finish to the relay.
type request struct {
	suspend syscall.Signal // or 0: finish
	done    chan struct{}
}

// Copy gives master's terminal the settings and size of the user's. Call it before any
// program runs there.
func Copy(user, master *os.File) error {
	from, err := descriptor(user)
	if err != nil {
		return fmt.Errorf("cannot read the settings of the terminal: %w", err)
	}
	to, err := descriptor(master)
	if err != nil {
		return fmt.Errorf("cannot set up a terminal: %w", err)
	}
	settings, err := getSettings(from)
	if err != nil {
		return fmt.Errorf("cannot read the settings of the terminal: %w", err)
	}
	if err := setSettings(to, settings); err != nil {
		return fmt.Errorf("cannot set up a terminal: %w", err)
	}
	size, err := unix.IoctlGetWinsize(from, unix.TIOCGWINSZ)
	if err != nil {
		return fmt.Errorf("cannot read the size of the terminal: %w", err)
	}
	if err := unix.IoctlSetWinsize(to, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("cannot set the size of a terminal: %w", err)
	}
	return nil
}

// Start begins to relay. in is the user's terminal. out, usually the same terminal, gets
// the output. keepOutputSettings keeps the output settings of the user's terminal: set it
// if another process writes to that terminal too, such as tee in `apt-get upgrade | tee
// log`. Between Start and Finish, text that this process itself writes to the terminal
// needs carriage returns.
//
// If wanted is not nil, the relay leaves the user's terminal alone until the command
// wants it. This is for a command that starts in the background of its own terminal,
// while the user types into a pager or the shell. The command wants the terminal when
// SIGTTIN or SIGTTOU stops it (see Suspend), or when it turns off line editing on its own
// terminal. apt does the latter: it waits for keys with select(2) while dpkg runs. Line
// editing that is also off on the user's terminal does not count, because a pager turned
// it off. Then the relay takes the user's terminal and calls wanted, which puts the
// command into the foreground of its terminal. wanted may be called more than once, and
// must not call the relay.
//
// Before that, Ctrl-Z stops only this process. The command continues until its output
// blocks.
//
// The relay sets master to non-blocking mode and uses it until Finish. The caller closes
// master.
func Start(in, out, master *os.File, keepOutputSettings bool, wanted func()) (*Relay, error) {
	r := &Relay{
		user:     user{tty: -1, keepOutput: keepOutputSettings, idle: wanted != nil},
		out:      -1,
		master:   -1,
		waker:    -1,
		buffer:   make([]byte, 32<<10),
		wanted:   wanted,
		requests: make(chan request, 1),
		signals:  make(chan os.Signal, 2),
		deaf:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	if err := r.open(in, out, master); err != nil {
		r.close()
		return nil, fmt.Errorf("cannot connect the terminal: %w", err)
	}
	signal.Notify(r.signals, unix.SIGWINCH, unix.SIGCONT)
	go func() {
		defer close(r.deaf)
		for sig := range r.signals {
			if sig == unix.SIGCONT {
				r.goesOn.Store(true)
			}
			r.wake()
		}
	}()
	go r.run()
	return r, nil
}

func (r *Relay) open(in, out, master *os.File) (err error) {
	if r.user.tty, err = reopen(in, unix.O_RDONLY); err != nil {
		return err
	}
	if r.out, err = reopen(out, unix.O_WRONLY); err != nil {
		return err
	}
	fd, err := descriptor(master)
	if err != nil {
		return err
	}
	if r.master, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return err
	}
	if err := unix.SetNonblock(r.master, true); err != nil {
		return err
	}
	r.user.master = r.master
	if r.user.idle {
		if err := editLines(r.master); err != nil {
			return err
		}
	}
	r.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return err
}

// reopen opens a terminal again as non-blocking: the flag belongs to the open file
// description, which file shares with the user's shell and others. If that fails,
// reopen returns a duplicate.
func reopen(file *os.File, mode int) (int, error) {
	fd, err := descriptor(file)
	if err != nil {
		return -1, err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	if own, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err == nil {
		return own, nil
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
}

// descriptor returns file.Fd, which makes file blocking for all processes that share
// it.
func descriptor(file *os.File) (int, error) {
	if file == nil {
		return -1, os.ErrInvalid
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if err := conn.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, err
	}
	return fd, nil
}

func (r *Relay) close() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, fd := range []int{r.user.tty, r.out, r.master, r.waker} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	r.user.tty, r.out, r.master, r.waker = -1, -1, -1, -1
}

// wake makes the relay check for changes.
func (r *Relay) wake() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_, _ = unix.Write(r.waker, []byte{1, 0, 0, 0, 0, 0, 0, 1}) // not 0 in either byte order
}

// Suspend stops this process after the signal sig stopped the command. It restores the
// settings of the user's terminal first, and stops the whole process group, as a terminal
// does. After SIGSTOP, which a terminal does not send, it stops only this process.
//
// Suspend returns when this process continues. It returns at once in two cases: the
// process group is orphaned, so that the kernel does not stop it; or the command started
// in the background, was stopped because it wants the terminal, and can have it. After
// Suspend, the caller continues the command.
func (r *Relay) Suspend(sig syscall.Signal) {
	if r == nil || !r.ask(request{suspend: sig, done: make(chan struct{})}) {
		stop(sig)
	}
}

// ask sends the relay a request, and reports whether the relay has done it.
func (r *Relay) ask(what request) bool {
	select {
	case r.requests <- what:
	case <-r.done:
		return false
	}
	r.wake()
	select {
	case <-what.done:
		return true
	case <-r.done:
	}
	select {
	case <-what.done: // at the end of the relay
		return true
	default:
		return false
	}
}

// Own reports whether a signal to this process is one that Relay sent to the whole
// process group, because the user typed the character for it. Programs beside the
// command, such as a script that calls apt-get, get the signal with a single terminal,
// too. The command itself has already received it. Own is true only once for each
// signal.
func (r *Relay) Own(sig os.Signal) bool {
	if r == nil {
		return false
	}
	switch sig {
	case unix.SIGINT:
		return r.own[0].Swap(false)
	case unix.SIGQUIT:
		return r.own[1].Swap(false)
	}
	return false
}

// signalGroup sends a signal to this process's process group.
func (r *Relay) signalGroup(sig syscall.Signal) {
	own := &r.own[0]
	if sig == unix.SIGQUIT {
		own = &r.own[1]
	}
	action := setAction(sig, nil)
	if !action.isIgnore() { // an ignored signal would never arrive
		// Otherwise the signal before, for which nobody has called Own yet, would be
		// taken for this one, and this one for a foreign signal.
		for end := time.Now().Add(patience); own.Load() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		own.Store(true)
	}
	_ = unix.Kill(0, sig)
}

// Finish waits until no process has the other terminal open and all output is written,
// and restores the settings of the user's terminal. Later input is for the next reader.
// Finish may be called again.
func (r *Relay) Finish() error {
	if r == nil {
		return nil
	}
	r.finish.Do(func() {
		r.ask(request{done: make(chan struct{})})
		<-r.done
		signal.Stop(r.signals)
		close(r.signals)
		<-r.deaf
		r.close()
	})
	return r.err
}
