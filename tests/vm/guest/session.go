package guest

import (
	"fmt"
	"os"
	"sync"
)

// Session is a [T] without a test: messages go to standard error.
type Session struct {
	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

// Helper does nothing.
func (*Session) Helper() {}

// Failed reports whether the session has failed.
func (s *Session) Failed() bool { return s.failed }

// Cleanup adds a function to call at the end.
func (s *Session) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// Logf prints a message.
func (s *Session) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Fatalf prints a message and ends the process.
func (s *Session) Fatalf(format string, args ...any) {
	s.Logf(format, args...)
	s.failed = true
	s.End(1)
}

// End calls the functions of Cleanup, and ends the process.
func (s *Session) End(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	os.Exit(status)
}
