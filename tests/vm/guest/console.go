package guest

import (
	"io"
	"regexp"
	"time"

	"github.com/apt-be/apt-be/tests/expect"
)

// Console is a serial line to a machine.
type Console struct {
	out    io.Writer
	output *expect.Output
}

// NewConsole returns a console that reads from in and types to out.
func NewConsole(in io.Reader, out io.Writer) *Console {
	return &Console{out: out, output: expect.Read(in)}
}

// Output returns all output, with control sequences.
func (c *Console) Output() string { return c.output.String() }

// Send types text: "\r" is the return key.
func (c *Console) Send(t T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.out, text); err != nil {
		t.Fatalf("cannot type %q: %v", text, err)
	}
}

// Expect blocks until the output after the last match matches pattern. It returns
// the match and its groups, and fails the test after limit.
func (c *Console) Expect(t T, limit time.Duration, pattern string) []string {
	t.Helper()
	match, err := c.await(limit, regexp.MustCompile(pattern))
	if err != nil {
		t.Fatalf("the console: %v", err)
	}
	return match
}

func (c *Console) await(limit time.Duration, pattern *regexp.Regexp) ([]string, error) {
	return c.output.Await(limit, pattern)
}

// Plain returns a console's text without control sequences.
func Plain(text string) string { return expect.Plain(text) }

// Follow copies all output, from the first byte, until the machine ends.
func (c *Console) Follow(to io.Writer) { c.output.Follow(to) }
