package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is the time in which all processes must end. The kernel ends thousands in
// one or two seconds, but not a process that waits for an unresponsive disk.
const patience = 30 * time.Second

// Kill ends all processes of the group, including those created meanwhile, and waits
// until there are none.
func (g *Group) Kill() error {
	deadline := time.Now().Add(patience)
	if g.kill != nil {
		if _, err := g.kill.WriteString("1"); err != nil {
			return fmt.Errorf("cannot end the processes of the sandbox: cannot write to cgroup.kill: %w", err)
		}
		return g.wait(deadline, func() {})
	}
	return g.killEach(deadline)
}

// killEach kills on kernels before 5.14. Frozen processes create no others, and can be
// killed.
func (g *Group) killEach(deadline time.Time) error {
	freeze, err := openAt(g.dir, "cgroup.freeze", unix.O_WRONLY) // since Linux 5.2
	if err == nil {
		_, err = freeze.WriteString("1")
		freeze.Close()
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot end the processes of the sandbox: cannot freeze them: %w", err)
	}
	return g.wait(deadline, func() {
		for _, pid := range g.members() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

// wait waits until the group is empty. It calls again before each check.
func (g *Group) wait(deadline time.Time, again func()) error {
	for {
		again()
		events, err := readAgain(g.events)
		if errors.Is(err, unix.ENODEV) {
			return nil // the group was removed, so it was empty
		}
		if err != nil {
			return fmt.Errorf("cannot see whether the processes of the sandbox have ended: %w", err)
		}
		if !populated(events) {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("cannot end the processes of the sandbox: after %s there are still %s", patience, g.describe())
		}
		// The kernel reports each change. again also finds processes whose start is no
		// change.
		wait := min(left, 100*time.Millisecond)
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(g.events.Fd()), Events: unix.POLLPRI}}, int(wait.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot wait for the end of the processes of the sandbox: %w", err)
		}
	}
}

// populated reports the value of populated in a cgroup.events.
func populated(events string) bool {
	for line := range strings.Lines(events) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "populated "); ok {
			return value != "0"
		}
	}
	return true
}

// members returns the processes in the group, without those that have no PID in this
// process's namespace.
func (g *Group) members() []int {
	text, err := readAt(g.dir, "cgroup.procs")
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(text) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// describe names processes that could not be ended.
func (g *Group) describe() string {
	const most = 5
	pids := g.members()
	var names []string
	for _, pid := range pids[:min(len(pids), most)] {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, strings.TrimSpace(fmt.Sprintf("%d %s", pid, bytes.TrimSpace(comm))))
	}
	if len(pids) > most {
		names = append(names, fmt.Sprintf("%d more", len(pids)-most))
	}
	if len(names) == 0 {
		return "some"
	}
	return strings.Join(names, ", ")
}

// readAgain reads an open file of a group from its beginning.
func readAgain(file *os.File) (string, error) {
	var text []byte
	buffer := make([]byte, 16<<10)
	for {
		n, err := unix.Pread(int(file.Fd()), buffer, int64(len(text)))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("cannot read %s: %w", file.Name(), err)
		}
		if n == 0 {
			return strings.TrimSuffix(string(text), "\n"), nil
		}
		text = append(text, buffer[:n]...)
	}
}
