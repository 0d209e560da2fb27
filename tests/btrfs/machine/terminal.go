package machine

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/expect"
)

// Terminal is a command that runs in the machine on its own terminal, as the leader
// of a session.
type Terminal struct {
	// PID is the command's process ID on the host.
	PID    int
	cmd    *exec.Cmd
	ended  <-chan error
	fd     int      // the master side of the terminal
	pty    *os.File // the same
	output *expect.Output
}

// Terminal starts a command on a terminal with a number of rows and columns.
func (m *Machine) Terminal(t testing.TB, rows, columns int, command Command) *Terminal {
	t.Helper()
	fd, tty, err := m.openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	// Not blocking, so that Close ends a Read.
	term := &Terminal{cmd: environ(command), fd: fd, pty: os.NewFile(uintptr(fd), "pty")}
	term.Resize(t, rows, columns)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = tty, tty, tty
	term.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if term.ended, err = m.spawn(term.cmd); err != nil {
		t.Fatalf("cannot run %q: %v", command.Args, err)
	}
	term.PID = term.cmd.Process.Pid
	term.output = expect.Read(term.pty) // until EIO: the last process closed it
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

// Output returns all output, with control sequences.
func (c *Terminal) Output() string { return c.output.String() }

// Expect blocks until the output after the last match matches pattern. It returns
// the match and its groups. If there is none, it ends the command and fails the
// test.
func (c *Terminal) Expect(t testing.TB, pattern string) []string {
	t.Helper()
	match, err := c.output.Await(3*patience, regexp.MustCompile(pattern))
	if err != nil {
		c.cmd.Process.Kill()
		t.Fatalf("%q: %v", c.cmd.Args, err)
	}
	return match
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
	case <-c.output.Closed():
	case <-time.After(2 * time.Second): // somebody else still has it open
	}
	c.pty.Close()
	<-c.output.Closed()
	return Result{Status: status, Output: c.Output()}
}
