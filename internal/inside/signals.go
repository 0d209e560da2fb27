package inside

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/sandbox"
)

// Signals handles the signals of a terminal or a service manager. The frontend, in its
// own session, acts on them; the supervisor must survive to see the result.
type Signals struct {
	caught  chan os.Signal
	process chan *sandbox.Process
	got     chan syscall.Signal
	// Any ends with the first signal.
	Any    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	later context.CancelFunc // cancels the context that Fresh returned last
}

// CatchSignals begins to catch signals, until Stop.
func CatchSignals() *Signals {
	s := &Signals{
		caught:  make(chan os.Signal, 8),
		process: make(chan *sandbox.Process, 1),
		got:     make(chan syscall.Signal, 1),
	}
	s.Any, s.cancel = context.WithCancel(context.Background())
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(s.caught, sig)
		}
	}
	signal.Notify(s.caught, unix.SIGTERM)
	go func() {
		var process *sandbox.Process
		for {
			select {
			case process = <-s.process:
			case sig, ok := <-s.caught:
				if !ok {
					return
				}
				if process != nil && process.Own(sig) {
					continue // the frontend received it from its own terminal
				}
				s.note(sig)
				if process != nil {
					_ = process.Signal(sig.(syscall.Signal))
				}
			}
		}
	}()
	return s
}

func (s *Signals) note(sig os.Signal) {
	select {
	case s.got <- sig.(syscall.Signal):
	default:
	}
	s.cancel()
	s.cancelLater()
}

// Fresh forgets earlier signals and returns a context that ends with the next one.
func (s *Signals) Fresh() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.First()
	s.later = cancel
	return ctx
}

func (s *Signals) cancelLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later != nil {
		s.later()
	}
}

// First returns the first signal received, or 0.
func (s *Signals) First() syscall.Signal {
	select {
	case sig := <-s.got:
		return sig
	default:
		return 0
	}
}

// Forward sends the signals of this process to the command in the sandbox, too.
func (s *Signals) Forward(p *sandbox.Process) { s.process <- p }

// Stop ends the handling of signals.
func (s *Signals) Stop() {
	s.cancel()
	s.cancelLater()
	signal.Stop(s.caught)
	close(s.caught)
}
