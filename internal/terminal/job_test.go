package terminal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Ctrl-Z stops a command that asks a question. After fg it continues and ends. The
// terminal has its own settings at each prompt.
func TestStopAndContinue(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`echo ready; read a; echo one $a; read a; echo two $a; exit 7`)+"\r")
	s.expect(t, `ready\s`)
	for _, word := range []string{"first", "second"} {
		s.send(t, "\x1a")
		s.expect(t, `\^Z\s+\[1\]\+  Stopped    [^\n]*\n.*prompt>`)
		s.send(t, "stty -a; jobs\r")
		s.expect(t, ` icrnl (?s:.*)isig icanon iexten echo (?s:.*)Stopped(?s:.*)prompt>`)
		s.send(t, "fg\r")
		s.expect(t, `fg\s+TERMINAL`)
		s.send(t, word+"\r")
		s.expect(t, `\n(one|two) `+word)
	}
	s.expect(t, `prompt>`)
	s.send(t, "echo status $?; exit\r")
	s.expect(t, `\nstatus 7`)
	<-s.ended
}

// Settings that the user changes between a stop and fg are kept at the end.
func TestSettingsBetweenStopAndFg(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`echo ready; read a; echo got $a`)+"\r")
	s.expect(t, `ready\s`)
	s.send(t, "\x1a")
	s.expect(t, `Stopped[^\n]*\s+prompt>`)
	s.send(t, "stty erase ^A\r")
	s.expect(t, `erase \^A\s+prompt>`)
	s.send(t, "fg\r")
	s.expect(t, `fg\s+TERMINAL`)
	s.send(t, "x\r")
	s.expect(t, `\ngot x\s+prompt>`)
	s.send(t, "stty -a\r")
	s.expect(t, `erase = \^A`)
}

// A SIGSTOP from another process stops a job. The shell restores the job's settings
// after fg; they do not count as the user's.
func TestStoppedByAnotherProcess(t *testing.T) {
	s := newShell(t)
	before := s.settings(t)
	s.send(t, relayed(`echo ready; read a; echo got $a`)+"\r")
	s.expect(t, `ready\s`)
	await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
	if err := unix.Kill(-s.foreground(t), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.expect(t, `Stopped[^\n]*\s+prompt>`)
	s.send(t, "fg\r")
	await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
	s.send(t, "x\r")
	s.expect(t, `\ngot x\s+prompt>`)
	if after := s.settings(t); after != before {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
}

func (s *screen) foreground(t *testing.T) int {
	t.Helper()
	pgrp, err := unix.IoctlGetInt(int(s.master.Fd()), unix.TIOCGPGRP)
	if err != nil {
		t.Fatal(err)
	}
	return pgrp
}

// In the background, output flows, and the shell gets the typed text. When the command
// asks a question, fg lets the user answer.
func TestBackground(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`echo ready; read a; echo got $a`)+" &\r")
	s.expect(t, `ready\s`)
	s.send(t, "echo an$((1))swer\r")
	s.expect(t, `\nan1swer\s+prompt>`)
	s.send(t, "jobs\r")
	s.expect(t, `Running[^\n]*\s+prompt>`)
	s.send(t, "fg\r")
	s.expect(t, `fg\s+TERMINAL`)
	await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
	s.send(t, "word\r")
	s.expect(t, `\ngot word\s+prompt>`)
	s.send(t, "stty -a\r")
	s.expect(t, `\nisig icanon`)
}

// A stopped job continues in the background.
func TestStopAndBackground(t *testing.T) {
	s := newShell(t)
	// The shell must not start a command meanwhile: a stop between vfork and exec
	// blocks the shell for ever, on any terminal.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s.send(t, relayed(`echo ready; read a <`+fifo+`; echo went on; read a; echo got $a`)+"\r")
	s.expect(t, `ready\s`)
	s.send(t, "\x1a")
	s.expect(t, `Stopped(?s:.*)prompt>`)
	s.send(t, "bg; echo >"+fifo+"\r")
	s.expect(t, `went on\r`)
	s.send(t, "echo the$((1))shell\r")
	s.expect(t, `the1shell\s+prompt>`)
	s.send(t, "fg\r")
	s.expect(t, `fg\s+TERMINAL`)
	await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
	s.send(t, "word\r")
	s.expect(t, `\ngot word\s+prompt>`)
}

// Ctrl-C reaches the command and the calling script. The supervisor recognizes its own
// copy of the signal, and acts on a signal from another process.
func TestInterrupt(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	s := newShell(t, "SIGNAL_LOG="+log)
	s.send(t, `bash -c `+shellQuote(`trap "echo script interrupted" INT; `+
		relayed(`trap "echo command interrupted" INT; echo ready; until read a; do :; done; echo got $a`)+`; echo after`)+"\r")
	s.expect(t, `ready\s`)
	for range 2 {
		await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
		s.send(t, "\x03")
		s.expect(t, `command interrupted`)
	}
	await(t, "the supervisor has its signals", func() bool {
		data, _ := os.ReadFile(log)
		return string(data) == "2 true\n2 true\n"
	})
	if err := unix.Kill(-s.foreground(t), unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	await(t, "the supervisor has a foreign signal", func() bool {
		data, _ := os.ReadFile(log)
		return strings.HasSuffix(string(data), "2 false\n")
	})
	s.send(t, "x\r")
	s.expect(t, `script interrupted\s+after\s+prompt>`)
}

// An orphaned process group is not stopped, because no shell could continue it.
func TestOrphaned(t *testing.T) {
	s := newScreen(t, []string{os.Args[0], `echo ready; kill -TSTP $$; echo went on`}, role+"=supervise")
	s.expect(t, `\nwent on`)
	<-s.ended
}

func TestResize(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`stty size; trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.1; done`)+"\r")
	s.expect(t, `\n24 80\s+ready`)
	s.resize(t, 40, 120)
	s.expect(t, `\n40 120\s+prompt>`)
}

// While the command is stopped, only the shell learns of a new size of the terminal.
func TestResizeWhileStopped(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`echo ready; read a; stty size`)+"\r")
	s.expect(t, `ready\s`)
	s.send(t, "\x1a")
	s.expect(t, `Stopped(?s:.*)prompt>`)
	s.resize(t, 40, 120)
	s.send(t, "fg\r")
	s.expect(t, `fg\s+TERMINAL`)
	s.send(t, "\r")
	s.expect(t, `\n40 120\s+prompt>`)
}

// Other commands in a pipeline may write to the terminal, and need its output settings.
func TestPipeline(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`read a; echo got $a`)+` | { until stty -a </dev/tty | grep -q -e -icanon; do :; done; printf 'one\ntwo\n' >/dev/tty; cat; }`+"\r")
	s.expect(t, `one\r\ntwo\r\n`)
	s.send(t, "x\r")
	s.expect(t, `got x\s(?s:.*)prompt>`)
}

// After the user's terminal hangs up, a command that reads gets an end of file, and
// runs to its end.
func TestHangUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "end")
	s := newScreen(t, []string{os.Args[0], `echo ready; read a; seq 1 100000; while read a; do :; done; echo end >` + file}, role+"=supervise")
	s.expect(t, `ready\s`)
	s.send(t, "x\r")
	s.expect(t, `\n99\r`)
	s.tty.Close()
	s.master.Close()
	await(t, "the command ends", func() bool {
		data, _ := os.ReadFile(file)
		return string(data) == "end\n"
	})
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("status %d", code)
	}
}
