package btrfs_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/cgroup"
)

// fork forks sleeping processes, reports that, and keeps forking if told to.
const (
	fork2000 = `exec 3>&-; i=0; while [ $i -lt 2000 ]; do sleep 1000 & i=$((i + 1)); done; echo forked; wait`
	forkOn   = `exec 3>&-; i=0; while :; do sleep 1000 & i=$((i + 1)); [ $i != 300 ] || echo forked; done`
)

// TestCgroup kills groups of real processes: processes that joined by the file,
// processes that started in the group, and processes that are being forked. It logs the
// time.
func TestCgroup(t *testing.T) {
	name := fmt.Sprintf("test-%d", os.Getpid())
	for _, c := range []struct {
		name, script string
		begins       bool
	}{
		{"2000 that entered", `echo 0 >&3; ` + fork2000, false},
		{"2000 that began in it", fork2000, true},
		{"one that goes on forking", `echo 0 >&3; ` + forkOn, false},
		{"a stopped one in another session", `echo 0 >&3; exec 3>&-; setsid sh -c 'trap "" TERM HUP INT; echo forked; kill -STOP $$'`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := cgroup.Make(name, cgroup.Default())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("notes: %q", g.Notes())
			// The group is empty, and not deleted as garbage, when another sandbox with
			// the same name begins.
			other, err := cgroup.Make(name, cgroup.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Kill(); err != nil {
				t.Errorf("an empty one: %v", err)
			}
			if err := other.Remove(); err != nil {
				t.Error(err)
			}
			cmd := exec.Command("sh", "-c", c.script)
			cmd.ExtraFiles = []*os.File{g.Procs()}
			if c.begins {
				cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.Dir().Fd())}
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "forked\n" {
				t.Errorf("it said %q, %v", line, err)
			}
			start := time.Now()
			if err := g.Kill(); err != nil {
				t.Error(err)
			}
			t.Logf("ended after %.3f s", time.Since(start).Seconds())
			if _, err := io.Copy(io.Discard, out); err != nil { // until no process has it open
				t.Error(err)
			}
			_ = cmd.Wait()
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}
