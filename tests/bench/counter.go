package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counter counts how often the calling thread, and all processes that it starts later,
// pass a tracepoint (perf_event_open(2)). Where the tracepoint is not passed, it costs
// no time.
type Counter struct{ fd int }

// syncPoints are the tracepoints of calls that make btrfs write data to the disk:
// fsync, fdatasync, msync and writes to files opened with O_SYNC pass the first one,
// sync and syncfs the second one. A call that a seccomp filter or a library answers
// passes neither.
var syncPoints = []string{"btrfs/btrfs_sync_file", "btrfs/btrfs_sync_fs"}

// tracefs is the directory with the numbers of the kernel's tracepoints.
const tracefs = "/sys/kernel/tracing"

// newCounter begins to count a tracepoint. The caller locks the thread
// (runtime.LockOSThread) until it has started the processes to count.
func newCounter(point string) (Counter, error) {
	text, err := os.ReadFile(filepath.Join(tracefs, "events", point, "id"))
	if err != nil {
		return Counter{}, fmt.Errorf("cannot count %s: %w (is tracefs mounted, and btrfs loaded?)", point, err)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return Counter{}, fmt.Errorf("cannot count %s: %w", point, err)
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Bits: unix.PerfBitInherit}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return Counter{}, fmt.Errorf("cannot count %s: %w", point, err)
	}
	return Counter{fd: fd}, nil
}

// Read returns the count.
func (c Counter) Read() (uint64, error) {
	var data [8]byte
	if n, err := unix.Read(c.fd, data[:]); err != nil || n != len(data) {
		return 0, fmt.Errorf("cannot read a counter: %d bytes, %w", n, err)
	}
	return binary.NativeEndian.Uint64(data[:]), nil
}

// Close ends the counter.
func (c Counter) Close() { unix.Close(c.fd) }

// Group is a control group (version 2) for the processes of one run.
type Group struct{ dir string }

// newGroup creates a control group.
func newGroup() (Group, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Group{}, fmt.Errorf("cannot find control groups: %w", err)
	}
	top := ""
	for _, line := range strings.Split(string(data), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(before); ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			top = fields[4]
		}
	}
	if top == "" {
		return Group{}, fmt.Errorf("cannot find control groups: no cgroup2 file system is mounted")
	}
	dir, err := os.MkdirTemp(top, "apt-be-bench.")
	if err != nil {
		return Group{}, fmt.Errorf("cannot make a control group: %w", err)
	}
	return Group{dir}, nil
}

// CPU returns the processor time of the group's processes, in seconds.
func (g Group) CPU() (user, system float64, err error) {
	data, err := os.ReadFile(filepath.Join(g.dir, "cpu.stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read the processor's time: %w", err)
	}
	for _, line := range bytes.Split(data, []byte("\n")) {
		name, value, _ := strings.Cut(string(line), " ")
		us, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "user_usec":
			user = us / 1e6
		case "system_usec":
			system = us / 1e6
		}
	}
	return user, system, nil
}

// Close removes the group, which must be empty.
func (g Group) Close() error { return os.Remove(g.dir) }
