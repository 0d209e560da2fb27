package streams

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// open opens a file of the system.
func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o644)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { file.Close() })
	return file
}

func null(t *testing.T) *os.File { return open(t, os.DevNull, unix.O_RDWR) }

// scratch creates a file.
func scratch(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a shell command, and returns its status and the error of Finish.
func run(t *testing.T, in, out, err *os.File, script string) (status int, ended error) {
	t.Helper()
	s, e := Take(in, out, err)
	if e != nil {
		t.Fatal(e)
	}
	files := s.Files()
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	if e := cmd.Start(); e != nil {
		t.Fatal(e)
	}
	s.Started()
	_ = cmd.Wait()
	done := make(chan error, 1)
	go func() { done <- s.Finish() }()
	select {
	case ended = <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Finish does not return")
	}
	if again := s.Finish(); again != nil {
		t.Errorf("Finish, called again: %v", again)
	}
	return cmd.ProcessState.ExitCode(), ended
}

func rest(t *testing.T, file *os.File) string {
	t.Helper()
	data := make([]byte, 1<<20)
	n, err := unix.Read(int(file.Fd()), data)
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:n])
}

func TestDescribe(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, other := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	t.Cleanup(func() { read.Close(); write.Close(); socket.Close(); other.Close() })
	memory, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		file      *os.File
		in, out   Stream
		untouched bool // the command gets the file unchanged
	}{
		{"the end of a pipe", read, Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_RDONLY}, true},
		{"the other end", write, Stream{Inherited, "", unix.O_WRONLY}, Stream{Inherited, "", unix.O_WRONLY}, true},
		{"a socket", socket, Stream{Inherited, "", unix.O_RDWR}, Stream{Inherited, "", unix.O_RDWR}, true},
		{"null", open(t, "/dev/null", unix.O_WRONLY), Stream{Device, "null", unix.O_WRONLY}, Stream{Device, "null", unix.O_WRONLY}, false},
		{"zero", open(t, "/dev/zero", unix.O_RDONLY), Stream{Device, "zero", unix.O_RDONLY}, Stream{Device, "zero", unix.O_RDONLY}, false},
		{"full", open(t, "/dev/full", unix.O_RDWR), Stream{Device, "full", unix.O_RDWR}, Stream{Device, "full", unix.O_RDWR}, false},
		{"random", open(t, "/dev/random", unix.O_RDONLY), Stream{Device, "random", unix.O_RDONLY}, Stream{Device, "random", unix.O_RDONLY}, false},
		{"urandom", open(t, "/dev/urandom", unix.O_RDONLY), Stream{Device, "urandom", unix.O_RDONLY}, Stream{Device, "urandom", unix.O_RDONLY}, false},
		{"a file", open(t, scratch(t, ""), unix.O_RDWR), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"a file in memory", os.NewFile(uintptr(memory), "memory"), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"a named pipe", open(t, fifo(t), unix.O_RDWR), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"a directory", open(t, t.TempDir(), unix.O_RDONLY), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"a path", open(t, "/", unix.O_PATH), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"the path of a device", open(t, "/dev/null", unix.O_PATH), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
		{"another device", open(t, "/dev/ptmx", unix.O_RDWR), Stream{Inherited, "", unix.O_RDONLY}, Stream{Inherited, "", unix.O_WRONLY}, false},
	} {
		for i, want := range []Stream{c.in, c.out, c.out} {
			given := [3]*os.File{null(t), null(t), null(t)}
			given[i] = c.file
			s, err := Take(given[0], given[1], given[2])
			if err != nil {
				t.Errorf("%s as %d: %v", c.name, i, err)
				continue
			}
			if s.User() == c.file {
				continue // the test's terminal, which does not belong to the user here
			}
			if got := s.Describe()[i]; got != want {
				t.Errorf("%s as %d: %+v, want %+v", c.name, i, got, want)
			}
			if same := s.Files()[i] == c.file; same != c.untouched {
				t.Errorf("%s as %d is given as it is: %v, want %v", c.name, i, same, c.untouched)
			}
			if err := s.Finish(); err != nil { // as if the command could not be started
				t.Errorf("%s as %d: %v", c.name, i, err)
			}
		}
	}
}

func TestStreamsInJSON(t *testing.T) {
	data, err := json.Marshal([]Stream{{Terminal, "", unix.O_RDWR}, {Device, "null", unix.O_RDONLY}})
	const want = `[{"kind":"terminal","flags":2},{"kind":"device","device":"null","flags":0}]`
	if err != nil || string(data) != want {
		t.Errorf("%s (%v), want %s", data, err, want)
	}
}

// No descriptor of the command leads to a file: not by its name in /proc, and not by an
// operation on the descriptor.
func TestDescriptorsReachNoFile(t *testing.T) {
	input, output := scratch(t, "input\n"), scratch(t, "")
	_, err := run(t, open(t, input, unix.O_RDWR), open(t, output, unix.O_RDWR), null(t), `
readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2
chmod 4755 /proc/self/fd/0 /proc/self/fd/1
echo changed 2>/dev/null >/proc/self/fd/0 &
cat >/dev/null
kill $! 2>/dev/null
cat /proc/self/fd/2/etc/passwd 2>/dev/null
exit 0`)
	if err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{input: "input\n", output: ""} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(path)
		if info.Mode() != 0o644 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if want == "" {
			lines := strings.Split(string(data), "\n")
			if len(lines) != 4 || !strings.HasPrefix(lines[0], "pipe:") || !strings.HasPrefix(lines[1], "pipe:") || lines[2] != os.DevNull {
				t.Errorf("the descriptors are %q", data)
			}
		} else if string(data) != want {
			t.Errorf("%s is %q, want %q", path, data, want)
		}
	}
}

func TestOutput(t *testing.T) {
	path := scratch(t, "before\n")
	file := open(t, path, unix.O_WRONLY|unix.O_APPEND)
	both := "before\n"
	for i := range 100 {
		both += fmt.Sprintf("out %d\nerr %d\n", i, i)
	}
	const script = `i=0; while test $i -lt 100; do echo out $i; echo err $i >&2; i=$((i+1)); done`
	if status, err := run(t, null(t), file, file, script); status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if got, _ := os.ReadFile(path); string(got) != both {
		t.Errorf("the file is %q", got)
	}

	first, second := scratch(t, ""), scratch(t, "")
	if status, err := run(t, null(t), open(t, first, unix.O_WRONLY), open(t, second, unix.O_WRONLY), "seq 1 100000; seq 1 100001 >&2"); status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	for path, want := range map[string]string{first: "100000\n", second: "100001\n"} {
		if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "1\n2\n") || !strings.HasSuffix(string(got), "\n"+want) {
			t.Errorf("%d bytes of output, which end with %q", len(got), got[max(0, len(got)-20):])
		}
	}
}

// A writer gets an error when the disk is full, and Finish returns the reason.
func TestFullDiskOutput(t *testing.T) {
	const script = `trap "" PIPE; seq 1 100000 2>/dev/null && exit 1; exit 7`
	var limit, before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit = before
	limit.Cur = 10000
	path := scratch(t, "")
	file := open(t, path, unix.O_WRONLY)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	status, err := run(t, null(t), file, null(t), script)
	if e := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); e != nil {
		t.Fatal(e)
	}
	want := "cannot write to " + path + " what the command printed: file too large"
	if status != 7 || err == nil || err.Error() != want {
		t.Errorf("status %d, %v, want %s", status, err, want)
	}

	path = fifo(t)
	reader := open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
	writer := open(t, path, unix.O_WRONLY)
	reader.Close()
	status, err = run(t, null(t), writer, null(t), script)
	want = "cannot write to " + path + " what the command printed: broken pipe"
	if status != 7 || err == nil || err.Error() != want {
		t.Errorf("status %d, %v, want %s", status, err, want)
	}
}
