package redirect

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process is to end.
type Exit struct {
	Code   int
	Signal syscall.Signal // that it has to die of, or 0
}

// Die ends this process as the frontend ended: with its status, or by its signal.
func (e Exit) Die() {
	if e.Signal != 0 {
		signal.Reset(e.Signal)
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		_ = unix.Kill(os.Getpid(), e.Signal)
		time.Sleep(time.Second) // a signal to a process is delivered to any of its threads
		os.Exit(128 + int(e.Signal))
	}
	os.Exit(e.Code)
}
