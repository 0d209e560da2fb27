package guest

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestAgent emulates the machine's end of the second serial line: it answers scripts
// with their own text, and "reboot" with another boot.
func TestAgent(t *testing.T) {
	in, say := io.Pipe()
	scripts, out := io.Pipe()
	go func() {
		fmt.Fprint(say, "noise\x01boot first /@rootfs\x01")
		lines := bufio.NewScanner(scripts)
		for lines.Scan() {
			number, encoded, _ := strings.Cut(lines.Text(), " ")
			script, _ := base64.StdEncoding.DecodeString(encoded)
			fmt.Fprintf(say, "\x01begin %s\x01%s", number, script)
			if string(script) == "reboot" {
				fmt.Fprint(say, "\x01boot second /@be/x\x01")
			} else {
				fmt.Fprintf(say, "\x01end %s 3\x01", number)
			}
		}
	}()
	console, _ := io.Pipe()
	g := &Guest{Console: NewConsole(console, io.Discard), agent: NewConsole(in, out)}
	if boot := g.WaitBoot(t); boot != (Boot{ID: "first", Root: "/@rootfs"}) {
		t.Errorf("first boot: %v", boot)
	}
	if result := g.Run(t, "a\nb"); result != (Result{Status: 3, Output: "a\nb"}) {
		t.Errorf("result: %v", result)
	}
	if _, err := g.Try(t, "reboot"); !errors.Is(err, ErrRebooted) {
		t.Errorf("a script that ends in a reboot: %v", err)
	}
	if boot := g.WaitBoot(t); boot != (Boot{ID: "second", Root: "/@be/x"}) {
		t.Errorf("second boot: %v", boot)
	}
}
