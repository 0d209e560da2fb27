package guest

import (
	"regexp"
	"strings"
	"time"
)

const keyDown = "\x1b[B"

var (
	// menuShown is what GRUB 2.06 and 2.12 draw, up to the line below the menu.
	menuShown = regexp.MustCompile(`(?s)GNU GRUB.*?will be executed automatically`)
	// marked is an entry in reverse video, with its star, to the right frame.
	marked = regexp.MustCompile(`\x1b\[7m\x1b\[\d+;\d+H\*([^\x1b]*)\x1b`)
)

// Choose waits for GRUB's menu and boots the first entry whose title holds
// text, as hands would: it goes down until that is the one that is marked, and
// presses return. It returns the titles of the entries that it went past. The
// test fails if no entry holds text.
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
		// On the last entry, the key changes nothing.
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
