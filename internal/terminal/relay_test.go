package terminal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNext(t *testing.T) {
	cooked := unix.Termios{Lflag: unix.ISIG | unix.ICANON | unix.IEXTEN}
	cooked.Cc[unix.VINTR], cooked.Cc[unix.VQUIT], cooked.Cc[unix.VLNEXT] = 3, 28, 22
	with := func(edit func(*unix.Termios)) unix.Termios {
		settings := cooked
		edit(&settings)
		return settings
	}
	for _, c := range []struct {
		name     string
		settings unix.Termios
		input    string
		quoted   bool
		n        int
		sig      syscall.Signal
		last     bool
	}{
		{"text", cooked, "yes\r", false, 4, 0, false},
		{"interrupt", cooked, "ye\x03s", false, 3, unix.SIGINT, false},
		{"quit", cooked, "\x1c\x03", false, 1, unix.SIGQUIT, false},
		{"quoted", cooked, "\x16\x03a", false, 3, 0, false},
		{"quoted twice", cooked, "\x16\x16\x03", false, 3, unix.SIGINT, false},
		{"quoted from before", cooked, "\x03\x03", true, 2, unix.SIGINT, false},
		{"quote to come", cooked, "a\x16", false, 2, 0, true},
		{"stop", cooked, "\x1a", false, 1, 0, false},
		{"no signals", with(func(s *unix.Termios) { s.Lflag &^= unix.ISIG }), "\x03\x1c", false, 2, 0, false},
		{"no quotes", with(func(s *unix.Termios) { s.Lflag &^= unix.ICANON }), "\x16\x03", false, 2, unix.SIGINT, false},
		{"another character", with(func(s *unix.Termios) { s.Cc[unix.VINTR] = 'q' }), "\x03q", false, 2, unix.SIGINT, false},
		{"no character", with(func(s *unix.Termios) { s.Cc[unix.VINTR] = 0 }), "\x00\x03", false, 2, 0, false},
		{"seven bits", with(func(s *unix.Termios) { s.Iflag |= unix.ISTRIP }), "\x83", false, 1, unix.SIGINT, false},
	} {
		n, sig, last := next([]byte(c.input), &c.settings, c.quoted)
		if n != c.n || sig != c.sig || last != c.last {
			t.Errorf("%s: %d, %v, %v, want %d, %v, %v", c.name, n, sig, last, c.n, c.sig, c.last)
		}
	}
}

// connect relays between two new terminals.
func connect(t *testing.T, keepOutput bool) (user, inner pair, relay *Relay) {
	t.Helper()
	return connectPairs(t, newPair(t), keepOutput)
}

func connectPairs(t *testing.T, user pair, keepOutput bool) (_, inner pair, relay *Relay) {
	t.Helper()
	inner = newPair(t)
	if err := Copy(user.tty, inner.master); err != nil {
		t.Fatal(err)
	}
	relay, err := Start(user.tty, user.tty, inner.master, keepOutput, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.tty.Close(); relay.Finish() })
	return user, inner, relay
}

func finish(t *testing.T, relay *Relay) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- relay.Finish() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the relay does not end")
	}
}

func TestCopy(t *testing.T) {
	user, inner := newPair(t), newPair(t)
	settings := user.settings(t)
	settings.Cc[unix.VERASE] = 'x'
	settings.Iflag |= unix.IUTF8
	if err := setSettings(int(user.tty.Fd()), &settings); err != nil {
		t.Fatal(err)
	}
	size := unix.Winsize{Row: 12, Col: 34, Xpixel: 56, Ypixel: 78}
	if err := unix.IoctlSetWinsize(int(user.tty.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		t.Fatal(err)
	}
	if err := Copy(user.tty, inner.master); err != nil {
		t.Fatal(err)
	}
	if got := inner.settings(t); got != settings {
		t.Errorf("settings %+v, want %+v", got, settings)
	}
	if got, err := unix.IoctlGetWinsize(int(inner.tty.Fd()), unix.TIOCGWINSZ); err != nil || *got != size {
		t.Errorf("size %+v (%v), want %+v", got, err, size)
	}
}

// No output is lost, and the terminal has its own settings at the end.
func TestLargeOutput(t *testing.T) {
	user := newPair(t)
	before := user.settings(t)
	_, inner, relay := connectPairs(t, user, false)
	await(t, "the terminal is raw", func() bool { return user.settings(t).Lflag&unix.ICANON == 0 })
	const lines = 300000
	sent, got := sha256.New(), sha256.New()
	var size int64
	go func() {
		for i := range lines {
			line := fmt.Sprintf("line %d\n", i)
			io.WriteString(sent, strings.ReplaceAll(line, "\n", "\r\n"))
			if _, err := inner.tty.WriteString(line); err != nil {
				t.Error(err)
			}
			size += int64(len(line) + 1)
		}
		io.WriteString(sent, "end")
		inner.tty.WriteString("end")
		inner.tty.Close()
	}()
	received := make(chan []byte)
	go func() {
		var all bytes.Buffer
		buffer := make([]byte, 64<<10)
		for slow := 0; !bytes.HasSuffix(all.Bytes(), []byte("end")); slow++ {
			if slow%100 == 0 {
				time.Sleep(time.Millisecond) // the others have to wait
			}
			n, err := user.master.Read(buffer)
			if err != nil {
				t.Error(err)
				break
			}
			all.Write(buffer[:n])
		}
		received <- all.Bytes()
	}()
	finish(t, relay)
	data := <-received
	got.Write(data)
	if string(got.Sum(nil)) != string(sent.Sum(nil)) {
		t.Errorf("%d bytes of output, want %d, or others", len(data), size+3)
	}
	if after := user.settings(t); after != before {
		t.Errorf("settings %+v, want %+v", after, before)
	}
}

// If the user's terminal blocks and then hangs up, the relay does not block.
func TestTerminalBlocksAndHangsUp(t *testing.T) {
	user, inner, relay := connect(t, false)
	written := make(chan error)
	go func() {
		_, err := inner.tty.Write(bytes.Repeat([]byte("0123456789\n"), 100000))
		inner.tty.Close()
		written <- err
	}()
	select {
	case err := <-written:
		t.Fatalf("nobody reads, but all is written: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	user.tty.Close()
	user.master.Close()
	if err := <-written; err != nil {
		t.Error(err)
	}
	finish(t, relay)
}

// The next reader gets text that is typed after the end.
func TestTypedAfterTheEnd(t *testing.T) {
	user, inner, relay := connect(t, false)
	user.master.WriteString("for the command\r")
	line := make([]byte, 100)
	n, err := inner.tty.Read(line)
	if err != nil || string(line[:n]) != "for the command\n" {
		t.Fatalf("the command reads %q (%v)", line[:n], err)
	}
	inner.tty.Close()
	finish(t, relay)
	finish(t, relay)
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte("terminal.(*Relay)")) {
		t.Errorf("something is left of the relay:\n%s", stacks)
	}
	user.master.WriteString("for the shell\r")
	n, err = user.tty.Read(line)
	if err != nil || string(line[:n]) != "for the shell\n" {
		t.Errorf("the shell reads %q (%v)", line[:n], err)
	}
}

// The user's terminal is also open in the shell and other processes, so its open file
// stays blocking.
func TestSharedDescriptionStaysBlocking(t *testing.T) {
	user, inner, relay := connect(t, false)
	check := func() {
		t.Helper()
		flags, err := unix.FcntlInt(user.tty.Fd(), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x (%v)", flags, err)
		}
	}
	await(t, "the terminal is raw", func() bool { return user.settings(t).Lflag&unix.ICANON == 0 })
	check()
	inner.tty.Close()
	finish(t, relay)
	check()
}

func TestOutputSettings(t *testing.T) {
	for _, keep := range []bool{false, true} {
		user, _, _ := connect(t, keep)
		await(t, "the terminal is raw", func() bool { return user.settings(t).Lflag&unix.ICANON == 0 })
		if on := user.settings(t).Oflag&unix.OPOST != 0; on != keep {
			t.Errorf("to keep: %v, kept: %v", keep, on)
		}
	}
}

// A program that sets up the terminal meanwhile, and restores it, is respected.
func TestSettingsAfterPager(t *testing.T) {
	user, inner, relay := connect(t, true)
	await(t, "the terminal is raw", func() bool { return user.settings(t).Lflag&unix.ICANON == 0 })
	his := user.settings(t)
	his.Lflag |= unix.ICANON | unix.ECHO | unix.ISIG
	his.Cc[unix.VERASE] = 'x'
	if err := setSettings(int(user.tty.Fd()), &his); err != nil {
		t.Fatal(err)
	}
	inner.tty.Close()
	finish(t, relay)
	if got := user.settings(t); got != his {
		t.Errorf("settings %+v, want %+v", got, his)
	}
}

// A command that could not be started never opened its terminal.
func TestNeverOpened(t *testing.T) {
	user := newPair(t)
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	defer master.Close()
	relay, err := Start(user.tty, user.tty, master, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, relay)
}

// Before the command opens it, the terminal may be closed for a moment.
func TestClosedForAMoment(t *testing.T) {
	user, inner, relay := connect(t, false)
	inner.tty.Close()
	time.Sleep(2 * openAgain)
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, inner.master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	again := os.NewFile(fd, "pts")
	again.WriteString("hello\n")
	line := make([]byte, 100)
	if n, err := user.master.Read(line); string(line[:n]) != "hello\r\n" {
		t.Errorf("the user sees %q (%v)", line[:n], err)
	}
	again.Close()
	finish(t, relay)
}

// Much unread input blocks neither the output nor the end.
func TestUnreadInput(t *testing.T) {
	user, inner, relay := connect(t, false)
	settings := inner.settings(t)
	settings.Lflag &^= unix.ICANON | unix.ECHO // otherwise the terminal would drop it
	if err := setSettings(int(inner.tty.Fd()), &settings); err != nil {
		t.Fatal(err)
	}
	await(t, "the terminal is raw", func() bool { return user.settings(t).Lflag&unix.ICANON == 0 })
	unix.SetNonblock(int(user.master.Fd()), true)
	await(t, "no more can be typed", func() bool {
		_, err := unix.Write(int(user.master.Fd()), bytes.Repeat([]byte("x"), 4096))
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			_, err = unix.Write(int(user.master.Fd()), []byte("x"))
		}
		return err == unix.EAGAIN
	})
	unix.SetNonblock(int(user.master.Fd()), false)
	inner.tty.WriteString("hello\n")
	line := make([]byte, 100)
	if n, err := user.master.Read(line); string(line[:n]) != "hello\r\n" {
		t.Errorf("the user sees %q (%v)", line[:n], err)
	}
	inner.tty.Close()
	finish(t, relay)
}

func TestWithoutATerminal(t *testing.T) {
	var relay *Relay
	if relay.Own(unix.SIGINT) {
		t.Error("a signal is taken for its own")
	}
	if err := relay.Finish(); err != nil {
		t.Error(err)
	}
}
