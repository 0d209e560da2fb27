package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits are the limits of a sandbox. 0 is no limit beyond those of this process's own
// group.
type Limits struct {
	Processes int   // threads count as processes
	Memory    int64 // bytes, including caches and files in memory
	Swap      int64 // bytes
}

// The sandbox's part of the machine.
const (
	// mostProcesses is four times the need of the biggest package jobs: DKMS runs make
	// with one job for each processor, each with about four processes, so 2,000 on a
	// machine with 512 processors. A runtime such as Java's has a hundred threads.
	mostProcesses = 8192
	// processShare limits the sandbox on small machines to a third of the kernel's
	// processes, as systemd limits a user. The running system must be able to create
	// processes when the sandbox cannot.
	processShare = 3
	// Three quarters of the memory: an upgrade succeeds in the remaining memory of a
	// busy machine, and its files in memory count (/tmp, predecompressed packages). At
	// the limit, the kernel first reclaims the sandbox's own caches, and then ends a
	// process of the sandbox, not a service.
	memoryShare, memoryOf = 3, 4
	// swapShare limits the sandbox to half of the swap space, so that the services keep
	// the other half.
	swapShare = 2
)

// Default returns the limits of a sandbox on this machine.
func Default() Limits {
	threads, _ := os.ReadFile("/proc/sys/kernel/threads-max")
	pids, _ := os.ReadFile("/proc/sys/kernel/pid_max")
	memory, _ := os.ReadFile("/proc/meminfo")
	return share(string(threads), string(pids), string(memory))
}

// share computes Default from the kernel's files. A missing value sets no limit, except
// for processes.
func share(threads, pids, meminfo string) Limits {
	l := Limits{Processes: mostProcesses}
	for _, text := range []string{threads, pids} {
		if most, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && most > 0 {
			l.Processes = min(l.Processes, most/processShare)
		}
	}
	for line := range strings.Lines(meminfo) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 54)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			l.Memory = kilobytes * 1024 / memoryOf * memoryShare
		case "SwapTotal:":
			l.Swap = kilobytes * 1024 / swapShare
		}
	}
	return l
}

// setting is a file of a control group, such as memory.max, with the value to write.
type setting struct{ file, value string }

// fewer are the files with an amount. The smaller amount applies.
var fewer = []string{"pids.max", "memory.max", "memory.high", "memory.swap.max", "memory.swap.high", "memory.zswap.max"}

// copied are the files whose value is copied if it is not the initial value of every
// group.
var copied = []struct{ file, first string }{
	{"cpu.max", "max 100000"},
	{"cpu.idle", "0"},
	{"cpu.weight", "100"},
	{"cpuset.cpus", ""},
	{"cpuset.mems", ""},
	{"io.weight", "default 100"},
	{"io.max", ""},
	{"io.latency", ""},
}

// limitsFor returns the settings of a new group: the limits of l, and those of this
// process's own group if they are stricter.
func limitsFor(own, dir string, l Limits) []setting {
	ours := map[string]int64{"pids.max": int64(l.Processes), "memory.max": l.Memory, "memory.swap.max": l.Swap}
	var list []setting
	for _, file := range fewer {
		value := int64(0)
		if theirs, err := strconv.ParseInt(read(own, file), 10, 64); err == nil {
			value = theirs
		} else if ours[file] == 0 {
			continue // "max", or no value
		} else {
			value = ours[file]
		}
		if ours[file] > 0 {
			value = min(value, ours[file])
		}
		if has(dir, file) {
			list = append(list, setting{file, strconv.FormatInt(value, 10)})
		}
	}
	if own == filepath.Dir(dir) {
		// The group is below this process's own, so that group's limits apply to it.
		return list
	}
	idle := read(own, "cpu.idle") == "1"
	for _, c := range copied {
		value := read(own, c.file)
		if value == c.first || value == "" || c.file == "cpu.weight" && idle {
			continue
		}
		// Each write to a file of several lines sets one line.
		for line := range strings.Lines(value) {
			list = append(list, setting{c.file, strings.TrimSpace(line)})
		}
	}
	return list
}

// apply writes settings to a group, and returns notes about settings that failed.
func apply(dir string, list []setting) (notes []string) {
	for _, s := range list {
		if err := write(filepath.Join(dir, s.file), s.value); err != nil {
			notes = append(notes, fmt.Sprintf("the sandbox does not have the limit %s = %s: %v", s.file, s.value, err))
		}
	}
	return notes
}

// enable enables limits for the groups in a directory, and returns notes about limits
// that are not possible.
func enable(parent string) (notes []string) {
	there := strings.Fields(read(parent, "cgroup.controllers"))
	given := strings.Fields(read(parent, "cgroup.subtree_control"))
	for _, c := range []struct{ controller, what string }{{"pids", "processes"}, {"memory", "memory"}} {
		if slices.Contains(given, c.controller) {
			continue
		}
		err := fmt.Errorf("%s does not have the controller %s", parent, c.controller)
		if slices.Contains(there, c.controller) {
			err = write(filepath.Join(parent, "cgroup.subtree_control"), "+"+c.controller)
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("the sandbox has no limit for %s: %v", c.what, err))
		}
	}
	return notes
}

// read reads a file of a group. A missing file is empty.
func read(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

func has(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return err == nil
}

// write writes a value with one write(2), as these files require.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
