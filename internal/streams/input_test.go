package streams

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInputOfAFile(t *testing.T) {
	large := strings.Repeat("0123456789\n", 1<<17)
	for _, c := range []struct {
		name, content string
		skip          int64
		script        string
		left          string
	}{
		{"nothing is read", "one\ntwo\nthree\n", 0, "exec true", "one\ntwo\nthree\n"},
		{"a line is read", "one\ntwo\nthree\n", 0, "read a; test $a = one", "two\nthree\n"},
		{"from the middle", "one\ntwo\nthree\n", 4, "read a; test $a = two", "three\n"},
		{"all is read", "one\ntwo\nthree\n", 0, "test $(cat | wc -l) = 3", ""},
		{"all of much is read", large, 0, fmt.Sprintf("test $(cat | wc -c) = %d", len(large)), ""},
		{"some of much is read", large, 0, "head -c 1000001 >/dev/null", large[1000001:]},
		{"an empty file", "", 0, "! read a", ""},
		{"the command writes there", "one\ntwo\nthree\n", 4, "echo more than there ever was >/proc/self/fd/0", "two\nthree\n"},
	} {
		file := open(t, scratch(t, c.content), unix.O_RDONLY)
		if _, err := file.Seek(c.skip, 0); err != nil {
			t.Fatal(err)
		}
		if status, err := run(t, file, null(t), null(t), c.script); status != 0 || err != nil {
			t.Errorf("%s: status %d, %v", c.name, status, err)
		}
		if got := rest(t, file); got != c.left {
			t.Errorf("%s: %d bytes are left, want %d", c.name, len(got), len(c.left))
		}
	}
}

// Another process that changes the offset of the file is respected.
func TestInputOffsetIsShared(t *testing.T) {
	file := open(t, scratch(t, "one\ntwo\nthree\n"), unix.O_RDWR)
	s, err := Take(file, null(t), null(t))
	if err != nil {
		t.Fatal(err)
	}
	s.Started()
	if _, err := file.Seek(8, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(); err != nil {
		t.Error(err)
	}
	if got := rest(t, file); got != "three\n" {
		t.Errorf("%q is left", got)
	}
}

func TestInputOfANamedPipe(t *testing.T) {
	for _, c := range []struct {
		name, script, left string
		open               bool // a process may still write
	}{
		{"nothing is read", "exec true", "one\ntwo\nthree\n", true},
		{"a line is read", "read a; test $a = one", "two\nthree\n", true},
		{"two lines are read", "read a; read b; test $a$b = onetwo", "three\n", true},
		{"the last is waited for", "head -c 14 >/dev/null", "", true},
		{"all is read", "test $(cat | wc -l) = 3", "", false},
	} {
		path := fifo(t)
		file := open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
		writer := open(t, path, unix.O_WRONLY)
		if err := unix.SetNonblock(int(file.Fd()), false); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString("one\ntwo\nthree\n"); err != nil {
			t.Fatal(err)
		}
		if !c.open {
			writer.Close()
		}
		if status, err := run(t, file, null(t), null(t), c.script); status != 0 || err != nil {
			t.Errorf("%s: status %d, %v", c.name, status, err)
		}
		writer.Close()
		if got := rest(t, file); got != c.left {
			t.Errorf("%s: %q is left, want %q", c.name, got, c.left)
		}
	}
}

// A named pipe passes large input, piece by piece.
func TestLargeInputOfNamedPipe(t *testing.T) {
	path := fifo(t)
	file := open(t, path, unix.O_RDWR) // so that neither open blocks
	data := bytes.Repeat([]byte("0123456789\n"), 1<<16)
	written := make(chan error, 1)
	writer := open(t, path, unix.O_WRONLY)
	go func() {
		_, err := writer.Write(append(data, "the rest"...))
		written <- err
	}()
	output := scratch(t, "")
	status, err := run(t, file, open(t, output, unix.O_WRONLY), null(t), fmt.Sprintf("dd bs=1000 iflag=fullblock,count_bytes count=%d 2>/dev/null", len(data)))
	if status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(output); !bytes.Equal(got, data) {
		t.Errorf("the command got %d bytes, or others, want %d", len(got), len(data))
	}
	if got := rest(t, file); got != "the rest" {
		t.Errorf("%q is left", got)
	}
}

// A directory cannot be read. A device without data is not waited for.
func TestOtherInput(t *testing.T) {
	if status, err := run(t, open(t, t.TempDir(), unix.O_RDONLY), null(t), null(t), "! read a"); status != 0 || err != nil {
		t.Errorf("a directory: status %d, %v", status, err)
	}
	if status, err := run(t, open(t, "/dev/ptmx", unix.O_RDWR), null(t), null(t), "exec true"); status != 0 || err != nil {
		t.Errorf("a device: status %d, %v", status, err)
	}
}
