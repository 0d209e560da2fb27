package main

import (
	"fmt"
	"os"
	"sync"
)

// session is what runs a machine where there is no test. Messages go to
// standard error.
type session struct {
	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

// Helper does nothing.
func (*session) Helper() {}

// Failed tells whether it all has failed.
func (s *session) Failed() bool { return s.failed }

// Cleanup keeps what is to be done at the end.
func (s *session) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// Logf shows a message.
func (s *session) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Fatalf shows a message and ends it all.
func (s *session) Fatalf(format string, args ...any) {
	s.Logf(format, args...)
	s.failed = true
	s.end(1)
}

// clean does what is to be done at the end.
func (s *session) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	s.cleanups = nil
}

func (s *session) end(status int) {
	s.clean()
	os.Exit(status)
}
