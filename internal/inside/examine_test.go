package inside

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shell returns a function that starts a script.
func shell(script string) func(out *os.File) (running, error) {
	return func(out *os.File) (running, error) {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return outside{cmd}, cmd.Start()
	}
}

// An examining command is killed if it takes too long, prints too much, or a signal
// arrives.
func TestExaminationIsLimited(t *testing.T) {
	const ever = "trap '' TERM INT; while :; do sleep 1000; done"
	long := limits{time.Hour, 1 << 10}
	signalled := CatchSignals()
	defer signalled.Stop()
	for _, tt := range []struct {
		name, script string
		limits       limits
		ctx          func() context.Context
		said         string
		failed       bool
		err          string
	}{
		{"good", "exit 0", long, nil, "", false, ""},
		{"bad", "echo no; exit 1", long, nil, "no\n", true, ""},
		{"killed", "kill -KILL $$", long, nil, "", true, ""},
		{"hangs", ever, limits{time.Millisecond, 1 << 10}, nil, "", true, "it was killed after 1ms"},
		{"prints", "cat /dev/zero", long, nil, strings.Repeat("\x00", 1<<10), true, "it was killed: it printed more than 1024 bytes"},
		{"prints and hangs", "head -c 2000 /dev/zero; " + ever, long, nil, strings.Repeat("\x00", 1<<10), true, "it printed more than"},
		{"leaves what prints", "sleep 5 & exit 0", long, nil, "", false, ""},
		{"a signal", "kill -TERM $PPID; " + ever, long, signalled.Fresh, "", true, "it was killed by a signal"},
		{"a signal before", "echo x", long, func() context.Context {
			ctx := signalled.Fresh()
			signalled.note(unix.SIGHUP)
			return ctx
		}, "", false, "it did not run, because of a signal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			if tt.ctx != nil {
				ctx = tt.ctx()
			}
			said, failed, err := tt.limits.run(ctx, "it", shell(tt.script))
			if string(said) != tt.said || failed != tt.failed {
				t.Errorf("it said %q, failed: %v", said, failed)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %q", err, tt.err)
			}
		})
	}
	if sig := signalled.First(); sig != unix.SIGHUP {
		t.Errorf("the last signal is %v", sig)
	}
}
