package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits is what a sandbox may have at most; 0 is no limit but those of this
// process's own group.
type Limits struct {
	Processes int   // threads count, too
	Memory    int64 // bytes, caches and files in memory included
	Swap      int64 // bytes
}

// What the sandbox gets of the machine.
const (
	// mostProcesses is four times what the biggest jobs of packages need: DKMS runs
	// make with as many jobs as there are processors, each of some four processes; so
	// 2,000 on a machine with 512 of them. A runtime such as Java's has a hundred
	// threads.
	mostProcesses = 8192
	// processShare is the part of what the kernel can have in all that is the
	// sandbox's on small machines: a third, as systemd gives a user. The rest of the
	// machine has to go on making processes while the sandbox can't.
	processShare = 3
	// Three quarters of the memory: an upgrade gets through in what is left on a
	// machine that does its work meanwhile, and what it has in memory files (/tmp, what
	// is unpacked ahead) counts. At that limit, the kernel takes back the sandbox's own
	// caches first, and then ends a process of the sandbox and none of a service.
	memoryShare, memoryOf = 3, 4
	// swapShare is the part of the swap space: half, so that what fills it does not
	// leave the services without any.
	swapShare = 2
)

// Default returns the limits of a sandbox on this machine.
func Default() Limits {
	threads, _ := os.ReadFile("/proc/sys/kernel/threads-max")
	pids, _ := os.ReadFile("/proc/sys/kernel/pid_max")
	memory, _ := os.ReadFile("/proc/meminfo")
	return share(string(threads), string(pids), string(memory))
}

// share is Default by what the kernel says. What it does not say sets no limit, but
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

// setting is a file of a control group, such as memory.max, and what to write to it.
type setting struct{ file, value string }

// fewer are the files with an amount: the smaller one counts.
var fewer = []string{"pids.max", "memory.max", "memory.high", "memory.swap.max", "memory.swap.high", "memory.zswap.max"}

// copied are the files whose value is taken over if it is not the one that every
// group has at first.
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

// limitsFor returns what to write to a new group's files: our limits, and those of
// this process's own group where they are stricter.
func limitsFor(own, dir string, l Limits) []setting {
	ours := map[string]int64{"pids.max": int64(l.Processes), "memory.max": l.Memory, "memory.swap.max": l.Swap}
	var list []setting
	for _, file := range fewer {
		value := int64(0)
		if theirs, err := strconv.ParseInt(read(own, file), 10, 64); err == nil {
			value = theirs
		} else if ours[file] == 0 {
			continue // "max", or none at all
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
		// The group is below this process's own, and has what that one has.
		return list
	}
	idle := read(own, "cpu.idle") == "1"
	for _, c := range copied {
		value := read(own, c.file)
		if value == c.first || value == "" || c.file == "cpu.weight" && idle {
			continue
		}
		// A file of several lines takes one at a time.
		for line := range strings.Lines(value) {
			list = append(list, setting{c.file, strings.TrimSpace(line)})
		}
	}
	return list
}

// apply writes settings to a group, and says which it could not.
func apply(dir string, list []setting) (notes []string) {
	for _, s := range list {
		if err := write(filepath.Join(dir, s.file), s.value); err != nil {
			notes = append(notes, fmt.Sprintf("the sandbox does not have the limit %s = %s: %v", s.file, s.value, err))
		}
	}
	return notes
}

// enable sees to it that groups in a directory can have limits, and says of what they
// can't.
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

// read reads a file of a group; what is not there is empty.
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

// write writes in one call, which is what these files take.
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
