package txn_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/txn"
)

// childRole is the environment variable that makes this test binary a process that gets
// killed. childDir names its directory.
const (
	childRole = "TXN_TEST_ROLE"
	childDir  = "TXN_TEST_DIR"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		beChild(role, os.Getenv(childDir))
	}
	os.Exit(m.Run())
}

// beChild carries out its role, reports that, and waits for its end.
func beChild(role, dir string) {
	ctx := context.Background()
	var err error
	switch role {
	case "hold": // the inherited lock
	case "lock":
		_, err = txn.TakeLock(ctx, dir+"/lock")
	case "begin", "step", "commit":
		f := newFixture(dir)
		var tx *txn.Txn
		tx, err = f.journal.Begin("a test in a child")
		if err == nil && role != "begin" {
			err = tx.Do(ctx, makeFile("a"))
		}
		if err == nil && role == "commit" {
			handler := f.journal.Handlers[kindFlip]
			do := handler.Do
			handler.Do = func(ctx context.Context, a txn.Args) error {
				err := do(ctx, a)
				fmt.Println(err)
				time.Sleep(time.Hour) // the step took effect, and nothing follows
				return err
			}
			f.journal.Handlers[kindFlip] = handler
			err = tx.Commit(ctx, flip("a", "b"))
		}
	}
	fmt.Println(err)
	time.Sleep(time.Hour)
}

type child struct{ cmd *exec.Cmd }

// startChild returns when the child has carried out its role.
func startChild(t *testing.T, role, dir string, inherit ...*os.File) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.ExtraFiles = inherit
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	c := &child{cmd}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			c.kill(t)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "<nil>" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	check(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait() // returns an error, because the child was killed
}

func TestKilled(t *testing.T) {
	for _, tt := range []struct {
		role string
		done bool
		left []string
	}{
		{"begin", false, nil},
		{"step", false, nil},
		{"commit", true, []string{"b"}},
	} {
		t.Run(tt.role, func(t *testing.T) {
			f := newFixture(t.TempDir())
			c := startChild(t, tt.role, f.dir)
			if recovered := f.recover(t); recovered != nil {
				t.Errorf("Recover while it lives = %+v, want nothing", recovered)
			}
			c.kill(t)
			recovered := f.recover(t)
			if len(recovered) != 1 || recovered[0].Done != tt.done || recovered[0].Err != nil || recovered[0].PID != c.cmd.Process.Pid {
				t.Errorf("Recover = %+v, want one that is done: %v", recovered, tt.done)
			}
			f.checkFiles(t, tt.left...)
		})
	}
}
