package guest

import (
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"
)

// Console is a serial line with somebody at the other end.
type Console struct {
	out  io.Writer
	read chan struct{} // closed when nothing can come any more

	mu     sync.Mutex
	output []byte
	seen   int // how much of output Expect has been past
}

// NewConsole makes a console of what comes from in and goes to out.
func NewConsole(in io.Reader, out io.Writer) *Console {
	c := &Console{out: out, read: make(chan struct{})}
	go c.collect(in)
	return c
}

func (c *Console) collect(in io.Reader) {
	defer close(c.read)
	buffer := make([]byte, 4096)
	for {
		n, err := in.Read(buffer)
		c.mu.Lock()
		c.output = append(c.output, buffer[:n]...)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Output returns all that came so far, control sequences included.
func (c *Console) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.output)
}

// Send types text: "\r" is the return key.
func (c *Console) Send(t T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.out, text); err != nil {
		t.Fatalf("cannot type %q: %v", text, err)
	}
}

// Expect waits for output that matches pattern, beyond what an earlier Expect
// has matched, and returns the match and its groups. It fails the test if none
// has come within limit.
func (c *Console) Expect(t T, limit time.Duration, pattern string) []string {
	t.Helper()
	match, err := c.await(limit, regexp.MustCompile(pattern))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return match
}

func (c *Console) await(limit time.Duration, pattern *regexp.Regexp) ([]string, error) {
	deadline := time.Now().Add(limit)
	looked := -1
	for {
		// Before the output is looked at: nothing comes after it.
		ended := c.ended()
		rest, match := c.match(pattern, &looked)
		switch {
		case match != nil:
			return match, nil
		case ended:
			return nil, fmt.Errorf("the console closed before it showed %q; it showed:\n%s", pattern, Plain(rest))
		case time.Now().After(deadline):
			return nil, fmt.Errorf("the console did not show %q within %s; it showed:\n%s", pattern, limit, Plain(rest))
		}
		select {
		case <-c.read:
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Console) ended() bool {
	select {
	case <-c.read:
		return true
	default:
		return false
	}
}

// match looks for pattern in what was not seen yet, and returns that too.
// There is nothing to look for in as much output as *looked.
func (c *Console) match(pattern *regexp.Regexp, looked *int) (rest string, match []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest = string(c.output[c.seen:])
	if len(c.output) == *looked {
		return rest, nil
	}
	*looked = len(c.output)
	place := pattern.FindStringSubmatchIndex(rest)
	if place == nil {
		return rest, nil
	}
	c.seen += place[1]
	for i := 0; i < len(place); i += 2 {
		group := ""
		if place[i] >= 0 {
			group = rest[place[i]:place[i+1]]
		}
		match = append(match, group)
	}
	return rest, match
}

// unread makes text, which the last match ended with, output that was not seen.
func (c *Console) unread(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen -= len(text)
}

// controls matches the control sequences of a VT100, and what a serial line
// has besides them.
var controls = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1bc|\r|\x00`)

// Plain is a text of a console without control sequences.
func Plain(text string) string { return controls.ReplaceAllString(text, "") }

// Follow writes all output, from the first byte on, as it comes.
func (c *Console) Follow(to io.Writer) {
	for written := 0; ; time.Sleep(20 * time.Millisecond) {
		ended := c.ended()
		c.mu.Lock()
		next := c.output[written:]
		c.mu.Unlock()
		if n, err := to.Write(next); err != nil || ended {
			return
		} else {
			written += n
		}
	}
}
