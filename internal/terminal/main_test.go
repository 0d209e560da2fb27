package terminal

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// role is the environment variable that makes this test binary another program.
// "supervise" has a Relay, and runs "keep". "keep" leads the session of the other
// terminal, and runs a shell command there, in a process group of its own.
const role = "TERMINAL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "supervise":
		os.Exit(supervise(os.Args[1]))
	case "keep":
		os.Exit(keep(os.Args[1], len(os.Args) > 2))
	}
	os.Exit(m.Run())
}

// Go runs the main goroutine on the main thread only on request.
func init() { runtime.LockOSThread() }

func fatal(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\r\n", os.Getenv(role), err)
		os.Exit(99)
	}
}

func supervise(script string) int {
	signal.Ignore(unix.SIGHUP)
	interrupts := make(chan os.Signal, 8)
	signal.Notify(interrupts, unix.SIGINT, unix.SIGQUIT)
	user, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	fatal(err)
	inner, err := openPair()
	fatal(err)
	fatal(Copy(user, inner.master))
	reportRead, reportWrite, err := os.Pipe()
	fatal(err)
	resumeRead, resumeWrite, err := os.Pipe()
	fatal(err)
	cmd := exec.Command("/proc/self/exe", script)
	cmd.Env = append(os.Environ(), role+"=keep")
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	var wanted func()
	for i, file := range files {
		if _, err := getSettings(int(file.Fd())); err == nil {
			files[i] = inner.tty
		} else {
			wanted = func() { _, _ = resumeWrite.Write([]byte{foreground}) }
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.ExtraFiles = []*os.File{reportWrite, resumeRead, inner.tty}
	if wanted != nil {
		cmd.Args = append(cmd.Args, "in the background")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 5}
	fatal(cmd.Start())
	reportWrite.Close()
	inner.tty.Close()
	// Go blocks all signals in the main thread after use.
	blocked := setOf(unix.SIGTSTP)
	fatal(unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil))
	out, keepOutput := os.Stdout, false
	if _, err := getSettings(1); err != nil {
		out, keepOutput = user, true
	}
	relay, err := Start(user, out, inner.master, keepOutput, wanted)
	fatal(err)
	go func() {
		log := os.Getenv("SIGNAL_LOG")
		for sig := range interrupts {
			if file, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
				fmt.Fprintf(file, "%d %v\n", sig, relay.Own(sig))
				file.Close()
			}
		}
	}()
	for {
		var report [1]byte
		if n, _ := reportRead.Read(report[:]); n == 0 {
			break
		}
		relay.Suspend(syscall.Signal(report[0]))
		_, err := resumeWrite.Write([]byte{resume})
		fatal(err)
	}
	_ = cmd.Wait()
	fatal(relay.Finish())
	return cmd.ProcessState.ExitCode()
}

// The orders of supervise to keep: put the command into the foreground, or continue it.
const foreground, resume = 'f', 'c'

func keep(script string, inBackground bool) int {
	report, orders := os.NewFile(3, "report"), os.NewFile(4, "orders")
	for _, fd := range []int{3, 4, 5} {
		unix.CloseOnExec(fd)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), role+"=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: !inBackground, Ctty: 5}
	fatal(cmd.Start())
	go obey(orders, cmd.Process.Pid)
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil)
		if err == unix.EINTR {
			continue
		}
		fatal(err)
		if !status.Stopped() {
			if status.Signaled() {
				return 128 + int(status.Signal())
			}
			return status.ExitStatus()
		}
		_, err = report.Write([]byte{byte(status.StopSignal())})
		fatal(err)
	}
}

// obey carries out supervise's orders for the command's process group.
func obey(orders *os.File, group int) {
	runtime.LockOSThread()
	blocked := setOf(unix.SIGTTOU)
	fatal(unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil))
	for {
		var order [1]byte
		if n, _ := orders.Read(order[:]); n == 0 {
			return
		}
		if order[0] == foreground {
			fatal(unix.IoctlSetPointerInt(5, unix.TIOCSPGRP, group))
		} else {
			fatal(unix.Kill(-group, unix.SIGCONT))
		}
	}
}
