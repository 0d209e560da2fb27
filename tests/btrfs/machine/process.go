package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nsGetParent is NS_GET_PARENT of ioctl_ns(2).
const nsGetParent = 0xb702

// Process is a process of a machine, or of a sandbox in the machine.
type Process struct {
	PID    int      // on the host
	Parent int      // the parent's PID
	Args   []string // the command line; empty for a zombie
	Exe    string   // the program, as its own mount namespace names it; "" for a zombie
}

func (p Process) String() string {
	return fmt.Sprintf("%d %q (%s)", p.PID, p.Args, p.Exe)
}

// Runs reports whether the process runs the program at a path, in any root, with
// name as its first argument.
func (p Process) Runs(program, name string) bool {
	return len(p.Args) > 0 && p.Args[0] == name && strings.HasSuffix(p.Exe, program)
}

// Processes lists the processes of the machine, except its process 1.
func (m *Machine) Processes(t testing.TB) []Process {
	t.Helper()
	ours, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	inside := make(map[string]bool) // by name space
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == m.init {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		space, err := os.Readlink(filepath.Join(dir, "ns/pid"))
		if err != nil { // it ended
			continue
		}
		in, known := inside[space]
		if !known {
			in = descends(filepath.Join(dir, "ns/pid"), ours)
			inside[space] = in
		}
		if !in {
			continue
		}
		process := Process{PID: pid}
		if data, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(data) > 0 {
			process.Args = strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
		}
		process.Parent = parent(dir)
		process.Exe, _ = os.Readlink(filepath.Join(dir, "exe"))
		found = append(found, process)
	}
	return found
}

// parent reads the parent of a process from its directory in /proc. It returns 0 if
// the process has ended.
func parent(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0
	}
	// proc_pid_stat(5): the name is in parentheses and may contain any character.
	stat := string(data)
	var state string
	var parent int
	if _, err := fmt.Sscan(stat[strings.LastIndexByte(stat, ')')+1:], &state, &parent); err != nil {
		return 0
	}
	return parent
}

// descends reports whether the PID namespace in file is the namespace called
// ancestor, or a descendant of it.
func descends(file, ancestor string) bool {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == nil {
		name, nameErr := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		parent, parentErr := unix.IoctlRetInt(fd, nsGetParent)
		unix.Close(fd)
		if nameErr == nil && name == ancestor {
			if parentErr == nil {
				unix.Close(parent)
			}
			return true
		}
		fd, err = parent, parentErr
	}
	return false
}

// Find waits for a process that match accepts, and whose parent match does not
// accept.
func (m *Machine) Find(t testing.TB, what string, match func(Process) bool) Process {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		processes := m.Processes(t)
		matching := make(map[int]Process)
		for _, process := range processes {
			if match(process) {
				matching[process.PID] = process
			}
		}
		for _, process := range matching {
			if _, child := matching[process.Parent]; !child {
				return process
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("cannot find %s among %v", what, processes)
		}
	}
}

// Kill sends SIGKILL to the process with a PID of the host.
func (m *Machine) Kill(t testing.TB, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatalf("cannot kill process %d: %v", pid, err)
	}
}

// Quiet waits a short time until only the machine's process 1 is left, and returns
// the processes that remain.
func (m *Machine) Quiet(t testing.TB) []Process {
	t.Helper()
	deadline := time.Now().Add(patience / 4)
	for {
		left := m.Processes(t)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(50 * time.Millisecond)
	}
}
