package guest

import (
	"regexp"
	"strings"
	"time"
)

const keyDown = "\x1b[B"

var (
	// menuShown matches the drawing of GRUB 2.06 and 2.12, up to the line below the
	// menu.
	menuShown = regexp.MustCompile(`(?s)GNU GRUB.*?will be executed automatically`)
	// marked matches an entry in reverse video, with its star, up to the right frame.
	marked = regexp.MustCompile(`\x1b\[7m\x1b\[\d+;\d+H\*([^\x1b]*)\x1b`)
)

// Choose waits for GRUB's menu and boots the first entry whose title contains text, as
// a user would: it moves down until that entry is marked, and presses return. It
// returns the titles of the entries before it. The test fails if no entry contains
// text.
func (c *Console) Choose(t T, text string) []string {
	t.Helper()
	var past []string
	screen, err := c.await(bootLimit, menuShown)
	if err != nil {
		t.Fatalf("%v", err)
	}
	match := marked.FindStringSubmatch(screen[0])
	for match != nil {
		title := strings.TrimSpace(match[1])
		if strings.Contains(title, text) {
			c.Send(t, "\r")
			return past
		}
		// On the last entry, the key has no effect.
		if len(past) > 0 && past[len(past)-1] == title {
			break
		}
		past = append(past, title)
		c.Send(t, keyDown)
		if match, err = c.await(time.Minute, marked); err != nil {
			t.Fatalf("%v", err)
		}
	}
	t.Fatalf("there is no entry with %q in GRUB's menu, but %q", text, past)
	return nil
}
