// Package expect waits for text that a program writes to a terminal, a serial line
// or a pipe. A time limit only makes a test fail; no test passes because of it.
package expect

import (
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"
)

// Output collects the output of a program.
type Output struct {
	mu     sync.Mutex
	text   []byte
	seen   int           // the bytes up to the end of the last match
	more   chan struct{} // closed when text grows or ends
	closed chan struct{} // closed when no more output can come
}

// Read returns an Output that reads from in until a read fails. EIO is the end of
// a terminal.
func Read(in io.Reader) *Output {
	o := &Output{more: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := in.Read(buffer)
			o.add(buffer[:n], err != nil)
			if err != nil {
				return
			}
		}
	}()
	return o
}

func (o *Output) add(text []byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, text...)
	close(o.more)
	o.more = make(chan struct{})
	if last {
		close(o.closed)
	}
}

// String returns all output, with control sequences.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// Closed returns a channel that is closed at the end of the output.
func (o *Output) Closed() <-chan struct{} { return o.closed }

// Error reports output that does not match a pattern.
type Error struct {
	Pattern string
	Limit   time.Duration // 0 if the output ended
	Rest    string        // the output after the last match
}

// Error implements error.
func (e *Error) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("the output closed before it showed %q; it showed:\n%s", e.Pattern, Plain(e.Rest))
	}
	return fmt.Sprintf("the output did not show %q within %s; it showed:\n%s", e.Pattern, e.Limit, Plain(e.Rest))
}

// Await blocks until the output after the last match matches pattern. It returns
// the match and its groups, and an *Error if the output ends or limit passes.
func (o *Output) Await(limit time.Duration, pattern *regexp.Regexp) ([]string, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	late := false
	for {
		match, rest, more, closed := o.match(pattern)
		switch {
		case match != nil:
			return match, nil
		case closed:
			return nil, &Error{Pattern: pattern.String(), Rest: rest}
		case late:
			return nil, &Error{Pattern: pattern.String(), Limit: limit, Rest: rest}
		}
		select {
		case <-more:
		case <-timeout.C:
			late = true // output may have come at the same moment
		}
	}
}

// match returns the first match, or the output after the last match, the channel
// that is closed when there is more, and whether the output has ended.
func (o *Output) match(pattern *regexp.Regexp) (match []string, rest string, more <-chan struct{}, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.closed:
		closed = true
	default:
	}
	rest = string(o.text[o.seen:])
	place := pattern.FindStringSubmatchIndex(rest)
	if place == nil {
		return nil, rest, o.more, closed
	}
	o.seen += place[1]
	for i := 0; i < len(place); i += 2 {
		group := ""
		if place[i] >= 0 {
			group = rest[place[i]:place[i+1]]
		}
		match = append(match, group)
	}
	return match, rest, o.more, closed
}

// Unread makes text, with which the last match ended, match again.
func (o *Output) Unread(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen -= len(text)
}

// Follow copies all output, from the first byte on, until the output ends or a
// write fails.
func (o *Output) Follow(to io.Writer) {
	for written := 0; ; {
		o.mu.Lock()
		next, more := o.text[written:], o.more
		o.mu.Unlock()
		if len(next) > 0 {
			n, err := to.Write(next)
			if err != nil {
				return
			}
			written += n
			continue
		}
		select {
		case <-more:
		case <-o.closed:
			if len(o.String()) == written {
				return
			}
		}
	}
}

// controls matches the control sequences of a VT100, and the carriage returns and
// zero bytes of a serial line.
var controls = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1bc|\r|\x00`)

// Plain returns text without control sequences.
func Plain(text string) string { return controls.ReplaceAllString(text, "") }

// Until calls condition until it returns true, and reports whether it did so
// within limit. It is for conditions that nothing announces.
func Until(limit time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		late := time.Now().After(deadline)
		if condition() {
			return true
		}
		if late {
			return false
		}
	}
}
