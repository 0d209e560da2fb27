package machine

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a command that runs in the machine on its own terminal, as the leader
// of a session.
type Terminal struct {
	// PID is the command's process ID on the host.
	PID   int
	cmd   *exec.Cmd
	ended <-chan error
	fd    int           // the master side of the terminal
	pty   *os.File      // the same
	read  chan struct{} // closed after the last output

	mu     sync.Mutex
	output []byte
	seen   int // the number of bytes of output that Expect has matched
}

// Terminal starts a command on a terminal with a number of rows and columns.
func (m *Machine) Terminal(t testing.TB, rows, columns int, command Command) *Terminal {
	t.Helper()
	fd, tty, err := m.openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	// Nonblocking, so that Close ends a Read.
	term := &Terminal{cmd: environ(command), fd: fd, pty: os.NewFile(uintptr(fd), "pty"), read: make(chan struct{})}
	term.Resize(t, rows, columns)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = tty, tty, tty
	term.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if term.ended, err = m.spawn(term.cmd); err != nil {
		t.Fatalf("cannot run %q: %v", command.Args, err)
	}
	term.PID = term.cmd.Process.Pid
	go term.collect()
	return term
}

// openPTY opens a new pair of the machine's own terminals: pts(4).
func (m *Machine) openPTY() (pty int, tty *os.File, err error) {
	dir := fmt.Sprintf("/proc/%d/root/dev/pts", m.init)
	pty, err = unix.Open(dir+"/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(pty, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(pty, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("%s/%d", dir, number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		unix.Close(pty)
		return 0, nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	return pty, tty, nil
}

// collect reads until no process has the terminal open.
func (c *Terminal) collect() {
	defer close(c.read)
	buffer := make([]byte, 4096)
	for {
		n, err := c.pty.Read(buffer)
		c.mu.Lock()
		c.output = append(c.output, buffer[:n]...)
		c.mu.Unlock()
		if err != nil { // EIO: the last process has closed it
			return
		}
	}
}

// Output returns all output until now, with control sequences.
func (c *Terminal) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.output)
}

// Expect waits for output that matches pattern, after the match of the previous
// Expect. It returns the match and its groups.
func (c *Terminal) Expect(t testing.TB, pattern string) []string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(3 * patience); ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		rest := string(c.output[c.seen:])
		match := expression.FindStringSubmatchIndex(rest)
		if match != nil {
			c.seen += match[1]
		}
		c.mu.Unlock()
		if match != nil {
			return expression.FindStringSubmatch(rest)
		}
		closed := false
		select {
		case <-c.read:
			closed = true
		default:
		}
		if closed || time.Now().After(deadline) {
			c.cmd.Process.Kill()
			t.Fatalf("%q did not show %q but:\n%s", c.cmd.Args, pattern, rest)
		}
	}
}

// Send types text: "\r" is the return key, "\x03" Ctrl-C, "\x04" Ctrl-D,
// "\x1a" Ctrl-Z.
func (c *Terminal) Send(t testing.TB, text string) {
	t.Helper()
	if _, err := c.pty.WriteString(text); err != nil {
		t.Fatalf("cannot type %q: %v", text, err)
	}
}

// Resize changes the size of the terminal. The foreground process group receives
// SIGWINCH.
func (c *Terminal) Resize(t testing.TB, rows, columns int) {
	t.Helper()
	size := unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	if err := unix.IoctlSetWinsize(c.fd, unix.TIOCSWINSZ, &size); err != nil {
		t.Fatalf("cannot resize the terminal: %v", err)
	}
}

// Wait waits until the command has ended and all its output is read. Background
// processes of the command lose the terminal.
func (c *Terminal) Wait(t testing.TB) Result {
	t.Helper()
	status, err := await(c.cmd, c.ended)
	if err != nil {
		t.Fatalf("%q: %v; so far:\n%s", c.cmd.Args, err, c.Output())
	}
	select {
	case <-c.read:
	case <-time.After(2 * time.Second): // another process still has it open
	}
	c.pty.Close()
	<-c.read
	return Result{Status: status, Output: c.Output()}
}
