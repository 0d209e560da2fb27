package streams

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The user's terminal, and further terminals.
func TestTerminals(t *testing.T) {
	if os.Getenv("STREAMS_TEST") == "terminal" {
		describeTerminals()
		os.Exit(0)
	}
	master := open(t, "/dev/ptmx", unix.O_RDWR)
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	tty := os.NewFile(peer, "tty")
	defer tty.Close()
	log := open(t, scratch(t, ""), unix.O_WRONLY)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	another := open(t, "/dev/ptmx", unix.O_RDWR)
	for _, c := range []struct {
		name          string
		controls      bool
		in, out, err  *os.File
		kinds         string
		user, output  string
		outputAndKeep bool
	}{
		{"all are the terminal", true, tty, tty, tty, "terminal terminal terminal", "/dev/tty", "stdout", false},
		{"a pipe", true, tty, write, tty, "terminal inherited terminal", "/dev/tty", "stderr", true},
		{"a pipe for errors", true, tty, tty, write, "terminal terminal inherited", "/dev/tty", "stdout", true},
		{"nothing but the session's", true, null(t), null(t), null(t), "device device device", "/dev/tty", "/dev/tty", false},
		{"another terminal", true, another, tty, tty, "inherited terminal terminal", "/dev/tty", "stdout", false},
		{"a log", true, null(t), log, log, "device inherited inherited", "/dev/tty", "/dev/tty", true},
		{"none that controls", false, null(t), tty, tty, "device terminal terminal", "stdout", "stdout", false},
		{"none", false, null(t), log, log, "device inherited inherited", "none", "none", false},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTerminals$")
		cmd.Env = append(os.Environ(), "STREAMS_TEST=terminal")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
		result, report, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{report, tty}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: c.controls, Ctty: 4}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		report.Close()
		got := rest(t, result)
		result.Close()
		want := fmt.Sprintf("%s, %s, %s %v", c.kinds, c.user, c.output, c.outputAndKeep)
		if got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

func describeTerminals() {
	report := os.NewFile(3, "report")
	s, err := Take(os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprint(report, err)
		return
	}
	name := func(file *os.File) string {
		for name, known := range map[string]*os.File{"none": nil, "stdin": os.Stdin, "stdout": os.Stdout, "stderr": os.Stderr} {
			if file == known {
				return name
			}
		}
		return file.Name()
	}
	output, keep := s.Output()
	d := s.Describe()
	fmt.Fprintf(report, "%s %s %s, %s, %s %v", d[0].Kind, d[1].Kind, d[2].Kind, name(s.User()), name(output), keep)
}
