package terminal

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/expect"
)

// pair is a new terminal.
type pair struct {
	master *os.File // blocking
	tty    *os.File
}

func newPair(t testing.TB) pair {
	t.Helper()
	p, err := openPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.master.Close(); p.tty.Close() })
	return p
}

func openPair() (p pair, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return p, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return p, err
	}
	tty, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return p, errno
	}
	return pair{os.NewFile(uintptr(fd), "ptmx"), os.NewFile(tty, "pts")}, nil
}

func (p pair) settings(t testing.TB) unix.Termios {
	t.Helper()
	settings, err := getSettings(int(p.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *settings
}

// screen is a terminal with a user, and a command that leads the terminal's session.
type screen struct {
	pair
	cmd *exec.Cmd

	output *expect.Output
	ended  chan struct{} // is closed when the command has ended
}

// newScreen runs a command on a new terminal.
func newScreen(t testing.TB, argv []string, env ...string) *screen {
	t.Helper()
	s := &screen{pair: newPair(t), ended: make(chan struct{})}
	s.resize(t, 24, 80)
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.output = expect.Read(s.master)
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		s.master.Close() // and the remaining processes lose their terminal
		if t.Failed() {
			t.Logf("the screen:\n%s", s.text())
		}
	})
	return s
}

// newShell starts a shell with job control and the prompt "prompt>".
func newShell(t testing.TB, env ...string) *screen {
	t.Helper()
	s := newScreen(t, []string{"bash", "--norc", "--noediting"}, append([]string{"PS1=prompt>"}, env...)...)
	s.expect(t, `prompt>`)
	return s
}

func (s *screen) text() string { return s.output.String() }

func (s *screen) resize(t testing.TB, rows, columns uint16) {
	t.Helper()
	err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *screen) send(t testing.TB, text string) {
	t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// await blocks until a condition is true.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	if !expect.Until(time.Minute, is) {
		t.Fatalf("waited in vain: %s", what)
	}
}

// expect blocks until the output after the last match matches pattern.
func (s *screen) expect(t testing.TB, pattern string) []string {
	t.Helper()
	match, err := s.output.Await(time.Minute, regexp.MustCompile(pattern))
	if err != nil {
		t.Fatalf("the terminal: %v", err)
	}
	return match
}

// relayed returns a shell's command line that runs a script on a terminal of its own.
func relayed(script string) string {
	return fmt.Sprintf("%s=supervise %s %s", role, shellQuote(os.Args[0]), shellQuote(script))
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
