package cli

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/apt-be/apt-be/internal/apthook"
	"github.com/apt-be/apt-be/internal/dpkglock"
)

// ancestor is a process from which this one descends.
type ancestor struct {
	pid   int
	start string // its start time, in ticks since the boot
	name  string // the first 15 bytes of its program's name
	args  []string
	lock  bool // it holds dpkg's frontend lock
}

// id returns a unique ID: process IDs are reused.
func (a ancestor) id() string { return fmt.Sprintf("%d %s", a.pid, a.start) }

// aptRun identifies the run of apt that changes packages, or returns "" if that is not
// visible. unattended-upgrades and other python-apt programs call each hook twice; all
// steps of unattended-upgrades are one run. PackageKit's daemon, Synaptic and aptitude
// may each have many runs.
func aptRun(packages []string) string { return nameRun(ancestors(), packages) }

func nameRun(line []ancestor, packages []string) string {
	line = slices.DeleteFunc(slices.Clone(line), func(a ancestor) bool { return a.name == "sh" }) // the hook's shell, which libapt has started
	holder := slices.IndexFunc(line, func(a ancestor) bool { return a.lock })
	if holder < 0 {
		return ""
	}
	if apthook.UpgradesInSteps(line[holder].args) {
		return line[holder].id()
	}
	return fmt.Sprintf("%s %x", line[0].id(), sha256.Sum256([]byte(strings.Join(packages, "\n"))))
}

// ancestors returns the visible ancestors of this process, its parent first.
func ancestors() []ancestor {
	var line []ancestor
	for pid := os.Getppid(); pid > 1; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return line
		}
		a, parent, ok := parseStat(string(stat))
		if !ok {
			return line
		}
		if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
			a.args = strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
		}
		a.lock = holdsFrontendLock(pid)
		line = append(line, a)
		pid = parent
	}
	return line
}

// parseStat parses a process's stat file (proc_pid_stat(5)).
func parseStat(stat string) (a ancestor, parent int, ok bool) {
	// The name, in parentheses, may contain blanks and parentheses.
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return a, 0, false
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return a, 0, false
	}
	a.name, a.start = stat[open+1:end], fields[19]
	var err error
	if a.pid, err = strconv.Atoi(strings.TrimSpace(stat[:open])); err != nil {
		return a, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return a, parent, err == nil
}

// holdsFrontendLock reports whether a process holds dpkg's frontend lock. fcntl(2)
// names only processes that are visible to this one, but /proc/locks lists all.
func holdsFrontendLock(pid int) bool {
	info, err := os.Stat(dpkglock.Dir + "/lock-frontend")
	if err != nil {
		return false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	inode := fmt.Sprintf(":%d", info.Sys().(*syscall.Stat_t).Ino)
	for _, line := range strings.Split(string(locks), "\n") {
		fields := strings.Fields(line) // such as: 1: POSIX ADVISORY WRITE 4711 00:21:257 0 EOF
		if len(fields) >= 6 && fields[1] == "POSIX" && fields[4] == strconv.Itoa(pid) && strings.HasSuffix(fields[5], inode) {
			return true
		}
	}
	return false
}
