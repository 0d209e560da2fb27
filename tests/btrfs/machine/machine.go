package machine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is the time limit for operations that normally take milliseconds.
const patience = 20 * time.Second

// Machine is a running system with its own processes, mounts and root. It shares
// the kernel, the network and the clock with the host.
type Machine struct {
	Image     *Image
	Subvolume string // its root

	holder *exec.Cmd      // scripts/enter: all processes of the machine end with it
	stdin  io.WriteCloser // the holder's input; closing it ends the holder
	init   int            // process id, on the host, of the machine's process 1
}

// Start snapshots template to the subvolume root and boots it as a machine. The
// machine stops when the test ends; its subvolumes stay until Clear.
func (i *Image) Start(t testing.TB, template, root string) *Machine {
	t.Helper()
	i.Snapshot(t, template, root)
	return i.Boot(t, root)
}

// Boot starts a machine on an existing subvolume.
func (i *Image) Boot(t testing.TB, root string) *Machine {
	t.Helper()
	m := &Machine{Image: i, Subvolume: root}
	args := []string{"--hold", i.Device(), root}
	if i.Archives != "" {
		args = append([]string{"--archives", i.Archives}, args...)
	}
	m.holder = exec.Command(filepath.Join(i.project, "scripts/enter"), args...)
	m.holder.Stderr = os.Stderr
	stdin, err := m.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.stdin = stdin
	if err := m.holder.Start(); err != nil {
		t.Fatalf("cannot start a machine: %v", err)
	}
	t.Cleanup(func() { m.Stop(t) })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("cannot start a machine: enter says %q, %v", line, err)
	}
	if m.init, err = onlyChild(m.holder.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return m
}

// onlyChild returns the only child of a process that has one thread.
func onlyChild(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("cannot find the machine's process 1: %w", err)
	}
	var child int
	if _, err := fmt.Sscan(string(data), &child); err != nil {
		return 0, fmt.Errorf("cannot find the machine's process 1 in %q: %w", data, err)
	}
	return child, nil
}

// Stop ends all processes of the machine. Stopping it again does nothing.
func (m *Machine) Stop(t testing.TB) {
	t.Helper()
	if m.holder.ProcessState != nil {
		return
	}
	m.stdin.Close()
	kill := time.AfterFunc(patience, func() {
		t.Error("the machine did not stop by itself")
		m.holder.Process.Kill()
	})
	defer kill.Stop()
	if err := m.holder.Wait(); err != nil {
		t.Errorf("machine ended with %v", err)
	}
}

// Path returns the path by which this process reaches a file of the machine's root
// on disk, below the machine's mounts.
func (m *Machine) Path(name string) string {
	return m.Image.Path(filepath.Join(m.Subvolume, name))
}

// WriteFile writes a file of the root.
func (m *Machine) WriteFile(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(m.Path(name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Mounts lists the machine's mounts: mount point, type and source.
func (m *Machine) Mounts(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", m.init))
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		fields := strings.Fields(line)
		mounts = append(mounts, fmt.Sprintf("%s %s %s", fields[1], fields[2], fields[0]))
	}
	return mounts
}
