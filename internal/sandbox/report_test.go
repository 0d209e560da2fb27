package sandbox

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What is written into the pipe of the init's report without end is not kept, and
// ends the sandbox.
func TestReportWithoutEnd(t *testing.T) {
	for script, says := range map[string]string{
		"exec cat /dev/zero >&3": "has written more than the",
		"echo nonsense >&3":      "cannot learn how the sandbox ended: invalid character",
		"":                       "cannot learn how the sandbox ended: unexpected end",
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.ExtraFiles = []*os.File{w}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		p := &Process{init: cmd.Process, result: r}
		if _, err := p.Wait(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Wait = %v, want an error that says %q", err, says)
		}
	}
}
