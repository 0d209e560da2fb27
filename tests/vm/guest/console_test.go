package guest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExpect(t *testing.T) {
	in, line := io.Pipe()
	c := NewConsole(in, io.Discard)
	go func() {
		for _, piece := range []string{"lo", "gin: \x1b[1mroot\x1b[m\r\n", "login: again"} {
			io.WriteString(line, piece)
		}
		line.Close()
	}()
	if got := c.Expect(t, time.Minute, `login: (\S+)\r\n`); Plain(got[1]) != "root" {
		t.Errorf("%q", got)
	}
	if got := c.Expect(t, time.Minute, `login: (a)?`); got[1] != "a" {
		t.Errorf("%q: what was matched is matched again", got)
	}
	_, err := c.await(time.Minute, menuShown)
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("at the end: %v", err)
	}
}

// grub emulates a menu of GRUB 2.06 on a serial line with its mark. It sends the chosen
// entry to the channel.
func grub(t *testing.T, titles []string) (*Console, <-chan string) {
	screen, err := os.ReadFile("testdata/menu")
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	keys, send := io.Pipe()
	t.Cleanup(func() { send.Close(); out.Close() })
	chosen := make(chan string, 1)
	go func() {
		fmt.Fprintf(out, "%s", screen)
		at := 0
		for {
			key := make([]byte, 8)
			n, err := keys.Read(key)
			if err != nil {
				return
			}
			if string(key[:n]) == "\r" {
				chosen <- titles[at]
				return
			}
			line := "\x1b[m\x1b[%d;3H %-75s\x1b[m\x1b[%[1]d;78H"
			fmt.Fprintf(out, line, 5+at, titles[at])
			at = min(at+1, len(titles)-1)
			fmt.Fprintf(out, "\x1b[m\x1b[7m\x1b[%d;3H*%-75s\x1b[m\x1b[%[1]d;78H\x1b[m", 5+at, titles[at])
		}
	}()
	return NewConsole(in, send), chosen
}

func TestChoose(t *testing.T) {
	titles := []string{"Debian GNU/Linux", "Advanced options for Debian GNU/Linux", "Debian GNU/Linux 12 (bookworm) (test1)", "Other"}
	for i, text := range []string{"Debian", "Advanced", "(test1)", "Other"} {
		console, chosen := grub(t, titles)
		past := console.Choose(t, text)
		if got := <-chosen; got != titles[i] || !slices.Equal(past, titles[:i]) {
			t.Errorf("%s: chose %q past %q", text, got, past)
		}
	}
}
