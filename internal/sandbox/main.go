package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// What a process of a sandbox is for: its first argument.
const (
	keepRole = "keep"
	reapRole = "init"
	doorRole = "enter"
)

// Main is each process of a sandbox but its command. It never returns.
func Main() {
	// Capabilities, filters and namespaces are a thread's.
	runtime.LockOSThread()
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case keepRole:
		keep()
	case reapRole:
		reap()
	case doorRole:
		enter()
	}
	fmt.Fprintf(os.Stderr, "cannot run %s: it is a part of apt-be, which starts it itself\n", Name)
	os.Exit(2)
}

// closeOnExec keeps descriptors from what this process executes: its own, and those
// that the user of apt-be had opened.
func closeOnExec(first uint) error {
	err := unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11
	if err != nil {
		return fmt.Errorf("cannot keep descriptors from the sandbox: %w", err)
	}
	return nil
}

// catchSignals has this process live on when it gets a signal that a terminal or a
// service manager sends to all. A handler, unlike an ignored signal, is not inherited
// through execve(2); one that was ignored from the start, as by nohup(1), stays so.
func catchSignals() {
	c := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTERM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
}

// send writes a message and ends this process if nobody is there to read it.
func send(to *os.File, v any) {
	if err := json.NewEncoder(to).Encode(v); err != nil {
		os.Exit(1)
	}
}
