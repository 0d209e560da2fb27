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

// The roles of the processes of a sandbox: the first argument.
const (
	keepRole = "keep"
	reapRole = "init"
	doorRole = "enter"
)

// Main runs each process of a sandbox except its command. It never returns.
func Main() {
	// Capabilities, filters and namespaces belong to a thread.
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

// closeOnExec closes descriptors at the next execve(2): this process's own, and those
// that the user of apt-be had opened.
func closeOnExec(first uint) error {
	err := unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11
	if err != nil {
		return fmt.Errorf("cannot keep descriptors from the sandbox: %w", err)
	}
	return nil
}

// catchSignals keeps this process alive when a terminal or a service manager signals
// all processes. execve(2) resets a handler, but not an ignored signal. A signal that
// was ignored at the start, as by nohup(1), stays ignored.
func catchSignals() {
	c := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTERM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
}

// send writes a message. If no process can read it, send ends this process.
func send(to *os.File, v any) {
	if err := json.NewEncoder(to).Encode(v); err != nil {
		os.Exit(1)
	}
}
