package terminal

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newFIFO returns a FIFO at which a command waits for the test, without reading the
// terminal.
func newFIFO(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *screen) awaitRaw(t *testing.T) {
	t.Helper()
	await(t, "the terminal is raw", func() bool { return s.settings(t).Lflag&unix.ICANON == 0 })
}

// While the command does not want the terminal, the pager gets the typed text.
func TestKeysForAPager(t *testing.T) {
	s := newShell(t)
	before := s.settings(t)
	fifo := newFIFO(t)
	s.send(t, relayed(`echo ready >/dev/tty; read a <`+fifo+`; echo end`)+
		` | { read key </dev/tty; echo "key $key"; echo >`+fifo+`; cat; }`+"\r")
	s.expect(t, `\nready\s`)
	s.send(t, "x\r")
	s.expect(t, `\nkey x\s+end\s+prompt>`)
	if after := s.settings(t); after != before {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
}

// The shell gets text that the user types ahead.
func TestTypedAhead(t *testing.T) {
	for name, line := range map[string][2]string{"input": {"yes | ", ""}, "output": {"", " >/dev/null"}, "errors": {"", " 2>/dev/null"}} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			fifo := newFIFO(t)
			command := relayed(`echo ready >/dev/tty; read a <` + fifo + `; echo end >/dev/tty`)
			s.send(t, line[0]+command+line[1]+"\r")
			s.expect(t, `\nready\s`)
			s.send(t, "echo typed$((1))ahead\r")
			if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
				t.Fatal(err)
			}
			s.expect(t, `end\s(?s:.*)typed1ahead\s`)
		})
	}
}

// A command in a pipeline that asks a question gets the answers.
func TestAsksInAPipeline(t *testing.T) {
	for name, from := range map[string]string{"its input": "", "its terminal": "</dev/tty"} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			before := s.settings(t)
			s.send(t, relayed(`echo ready >/dev/tty; read a `+from+`; echo got $a; read a `+from+`; echo then $a`)+" | cat\r")
			s.expect(t, `\nready\s`)
			s.awaitRaw(t)
			s.send(t, "x\r")
			s.expect(t, `got x\s`)
			s.send(t, "\x1a")
			s.expect(t, `Stopped(?s:.*)prompt>`)
			s.send(t, "fg\r")
			s.expect(t, `fg\s+TERMINAL`)
			s.awaitRaw(t)
			s.send(t, "y\r")
			s.expect(t, `then y\s(?s:.*)prompt>`)
			if after := s.settings(t); after != before {
				t.Errorf("before: %+v\nafter: %+v", before, after)
			}
		})
	}
}

// A command in the background is stopped when it reads from the terminal, like any
// other.
func TestAsksInTheBackground(t *testing.T) {
	s := newShell(t)
	fifo := newFIFO(t)
	s.send(t, relayed(`echo ready >/dev/tty; read a <`+fifo+`; read a; echo got $a`)+" | cat &\r")
	s.expect(t, `(\n|prompt>)ready\s`)
	s.send(t, "echo the$((1))shell; echo >"+fifo+"\r")
	s.expect(t, `the1shell\s`)
	await(t, "the job is stopped", func() bool {
		s.send(t, "jobs\r")
		s.expect(t, `jobs\s`)
		return len(s.expect(t, `(Stopped)|Running`)[1]) > 0
	})
	s.send(t, "fg\r")
	s.expect(t, `fg\s+TERMINAL`)
	s.awaitRaw(t)
	s.send(t, "x\r")
	s.expect(t, `got x\s(?s:.*)prompt>`)
}

// apt sets up its terminal with SIGTTOU blocked, and waits for keys there.
const likeApt = `trap "" TTOU; stty -icanon </dev/tty; trap - TTOU; `

// A command that waits for keys without a stop gets the keys, and Ctrl-C.
func TestSetsUpItsTerminal(t *testing.T) {
	s := newShell(t)
	s.send(t, relayed(`trap "echo interrupted >/dev/tty; over=1" INT; `+likeApt+`echo ready >/dev/tty; until [ "$over" ]; do :; done; read a; echo got $a`)+" | (trap '' INT; cat)\r")
	s.expect(t, `\nready\s`)
	s.awaitRaw(t)
	s.send(t, "\x03")
	s.expect(t, `interrupted\s`)
	s.send(t, "x\r")
	s.expect(t, `got x\s(?s:.*)prompt>`)
}

// It does not get them while a pager has the user's terminal.
func TestSetsUpItsTerminalWithAPager(t *testing.T) {
	s := newShell(t)
	fifo, other := newFIFO(t), newFIFO(t)
	s.send(t, relayed(`read a <`+other+`; `+likeApt+`echo ready >/dev/tty; until [ "$(stty size </dev/tty)" = "40 120" ]; do :; done; echo resized >/dev/tty; read a <`+fifo+`; echo end`)+
		` | { read -rsn1 key </dev/tty; echo "key $key"; echo >`+fifo+`; cat; }`+"\r")
	s.awaitRaw(t)
	if err := os.WriteFile(other, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	s.expect(t, `\nready\s`)
	s.resize(t, 40, 120)
	s.expect(t, `\nresized\s`)
	s.send(t, "x")
	s.expect(t, `key x\s+end\s+prompt>`)
}

// After a pager that set up the terminal first, the command has a terminal with line
// editing.
func TestAfterAPager(t *testing.T) {
	s := newShell(t)
	fifo := newFIFO(t)
	s.send(t, `{ read a <`+fifo+`; `+relayed(`stty -a </dev/tty; echo end`)+`; } | { read -rsn1 key </dev/tty; cat; }`+"\r")
	s.awaitRaw(t)
	if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	s.send(t, "x")
	s.expect(t, `\sicanon(?s:.*)end\s+prompt>`)
}
