package guest

import (
	"fmt"
	"os"
	"sync"
)

// Session is a [T] where there is no test: messages go to standard error.
type Session struct {
	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

// Helper does nothing.
func (*Session) Helper() {}

// Failed tells whether it all has failed.
func (s *Session) Failed() bool { return s.failed }

// Cleanup keeps what is to be done at the end.
func (s *Session) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// Logf shows a message.
func (s *Session) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Fatalf shows a message and ends it all.
func (s *Session) Fatalf(format string, args ...any) {
	s.Logf(format, args...)
	s.failed = true
	s.End(1)
}

// End does what is to be done at the end, and ends the process.
func (s *Session) End(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	os.Exit(status)
}
