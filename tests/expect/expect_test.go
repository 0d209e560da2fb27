package expect

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// pipe returns an Output and the writer that feeds it.
func pipe(t *testing.T) (*Output, *io.PipeWriter) {
	t.Helper()
	in, out := io.Pipe()
	t.Cleanup(func() { out.Close() })
	return Read(in), out
}

func write(t *testing.T, to io.Writer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := io.WriteString(to, text); err != nil {
			t.Error(err)
		}
	}
}

func TestAwait(t *testing.T) {
	o, out := pipe(t)
	go func() {
		write(t, out, "lo", "gin: ro", "ot\r\n", "login: again")
		out.Close()
	}()
	login := regexp.MustCompile(`login: (\w+?)(\r\n|ain)(x)?`)
	for _, want := range []string{"root", "ag"} {
		match, err := o.Await(time.Minute, login)
		if err != nil || len(match) != 4 || match[1] != want || match[3] != "" {
			t.Fatalf("Await = %q, %v, want a login of %s", match, err, want)
		}
	}
	_, err := o.Await(time.Minute, login)
	var missing *Error
	if !errors.As(err, &missing) || missing.Limit != 0 || missing.Rest != "" || !strings.Contains(err.Error(), "closed before") {
		t.Errorf("Await after the end = %v", err)
	}
	<-o.Closed()
	if o.String() != "login: root\r\nlogin: again" {
		t.Errorf("the output is %q", o)
	}
}

// TestAwaitWakesUp has output come while Await waits: the pattern needs all of it.
func TestAwaitWakesUp(t *testing.T) {
	o, out := pipe(t)
	found := make(chan error)
	go func() {
		_, err := o.Await(time.Minute, regexp.MustCompile(`^.{300}end`))
		found <- err
	}()
	for range 300 {
		write(t, out, "x")
	}
	select {
	case err := <-found:
		t.Fatalf("Await returned %v before the end came", err)
	default:
	}
	write(t, out, "end")
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestAwaitEndsInTime(t *testing.T) {
	o, out := pipe(t)
	write(t, out, "\x1b[1mlogin\x1b[m: ", "\r\n")
	_, err := o.Await(10*time.Millisecond, regexp.MustCompile("root"))
	var missing *Error
	if !errors.As(err, &missing) || missing.Limit != 10*time.Millisecond || !strings.Contains(err.Error(), "\nlogin: ") {
		t.Errorf("Await = %v", err)
	}
	// The output is still there for the next one.
	if _, err := o.Await(time.Minute, regexp.MustCompile("login")); err != nil {
		t.Error(err)
	}
}

func TestUnread(t *testing.T) {
	o, out := pipe(t)
	write(t, out, "begin boot 1")
	if _, err := o.Await(time.Minute, regexp.MustCompile("begin boot")); err != nil {
		t.Fatal(err)
	}
	o.Unread("boot")
	if match, err := o.Await(time.Minute, regexp.MustCompile(`boot (\d)`)); err != nil || match[1] != "1" {
		t.Errorf("Await = %q, %v", match, err)
	}
}

func TestFollow(t *testing.T) {
	o, out := pipe(t)
	write(t, out, "one")
	done, copied := make(chan struct{}), &strings.Builder{}
	go func() { o.Follow(copied); close(done) }()
	write(t, out, " two", " three")
	out.Close()
	<-done
	if copied.String() != "one two three" {
		t.Errorf("Follow wrote %q", copied)
	}
}

func TestUntil(t *testing.T) {
	calls := 0
	if !Until(time.Minute, func() bool { calls++; return calls == 3 }) || calls != 3 {
		t.Errorf("Until called %d times", calls)
	}
	if Until(0, func() bool { return false }) {
		t.Error("Until is true without its condition")
	}
}
