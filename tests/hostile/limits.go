package hostile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limits returns the attempts to use up the machine's time and memory.
func limits() []Attempt {
	scheduled := func(policy uint32, priority uint32) func() Verdict {
		return func() Verdict {
			attributes := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}
			if policy == 6 {
				attributes.Runtime, attributes.Deadline, attributes.Period = 1e6, 1e7, 1e7
			}
			return refused(unix.SchedSetAttr(0, &attributes, 0), "has policy %d", policy)
		}
	}
	bomb := func(count int) func() Verdict {
		return func() Verdict {
			started, err := sleepers(count)
			return did("%d sleep: %v", started, err)
		}
	}
	return []Attempt{
		{Name: "sched-fifo", Wall: "limits", What: "SCHED_FIFO for itself", run: scheduled(1, 50)},
		{Name: "sched-rr", Wall: "limits", What: "SCHED_RR for itself", run: scheduled(2, 1)},
		{Name: "sched-deadline", Wall: "limits", What: "SCHED_DEADLINE for itself", run: scheduled(6, 0)},
		{Name: "nice", Wall: "limits", What: "a priority of -20", run: func() Verdict {
			return refused(unix.Setpriority(unix.PRIO_PROCESS, 0, -20), "has it")
		}},
		{Name: "ionice", Wall: "limits", What: "the real-time class of the disk", run: func() Verdict {
			_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, 1, 0, 1<<13)
			return refused(errnoOf(errno), "has it")
		}},
		{Name: "oom-score", Wall: "limits", What: "an oom_score_adj of -1000 and of -1", run: func() Verdict {
			var last error
			for _, value := range []string{"-1000", "-1"} {
				for _, file := range []string{"/proc/self/oom_score_adj", "/proc/thread-self/oom_score_adj"} {
					if last = os.WriteFile(file, []byte(value), 0); last == nil {
						return broken("has %s", value)
					}
				}
			}
			return held("%v", last)
		}},
		{Name: "rlimit", Wall: "limits", What: "raises hard limits: realtime, memory that can't be swapped, processes", run: func() Verdict {
			var raised []string
			for name, limit := range map[string]int{"rtprio": unix.RLIMIT_RTPRIO, "nice": unix.RLIMIT_NICE, "memlock": unix.RLIMIT_MEMLOCK, "nproc": unix.RLIMIT_NPROC} {
				var now unix.Rlimit
				if unix.Getrlimit(limit, &now) != nil || now.Max == unix.RLIM_INFINITY {
					continue
				}
				if unix.Setrlimit(limit, &unix.Rlimit{Cur: now.Max + 1, Max: now.Max + 1}) == nil {
					raised = append(raised, name)
				}
			}
			for _, name := range raised {
				if name == "rtprio" || name == "nice" {
					return broken("raised %v", raised)
				}
			}
			return did("raised %v", raised)
		}},
		{Name: "memory-locked", Wall: "limits", What: "locks 64 MiB", run: func() Verdict {
			memory, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err == nil {
				err = unix.Mlock(memory)
			}
			return did("%v", err)
		}},
		{Name: "cpu-timers", Wall: "limits", What: "a timer that wakes the machine", run: func() Verdict {
			fd, err := unix.TimerfdCreate(9, unix.TFD_CLOEXEC) // CLOCK_BOOTTIME_ALARM
			if err == nil {
				unix.Close(fd)
			}
			return refused(err, "made one")
		}},
		{Name: "left-ignoring", Wall: "supervisor", What: "leaves a daemon behind that ignores SIGTERM and SIGHUP", run: func() Verdict {
			return leave("ignoring")
		}},
		{Name: "left-stopped", Wall: "supervisor", What: "leaves a daemon behind that is stopped", run: func() Verdict {
			return leave("stopped")
		}},
		{Name: "left-writing", Wall: "supervisor", Alone: true, What: "leaves a daemon behind that keeps standard output open", run: func() Verdict {
			return leave("writing")
		}},
		{Name: "left-forking", Wall: "supervisor", What: "leaves a daemon behind that forks and ends all the time", run: func() Verdict {
			return leave("forking")
		}},
		{Name: "fork-2000", Wall: "limits", Alone: true, What: "leaves 2,000 sleeping processes behind", run: bomb(2000)},
		{Name: "fork-20000", Wall: "limits", Alone: true, What: "leaves 20,000 sleeping processes behind", run: bomb(20000)},
		{Name: "memory-hog", Wall: "limits", Alone: true, What: "takes memory until it is refused, at most 64 GiB", run: func() Verdict {
			var taken int
			for ; taken < 64<<10; taken += 64 {
				memory, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
				if err != nil {
					return did("%d MiB: %v", taken, err)
				}
				memory[0] = 1
			}
			return did("%d MiB", taken)
		}},
	}
}

// sleepers starts processes that ignore signals and wait for ever.
func sleepers(count int) (started int, err error) {
	signal.Ignore(unix.SIGTERM, unix.SIGHUP)
	for started < count {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return started, errno
		}
		if pid == 0 {
			unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
			// The child must be cheap, and keep none of the caller's files open.
			unix.RawSyscall(unix.SYS_CLOSE_RANGE, 0, ^uintptr(0)>>32, 0)
			for {
				unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
			}
		}
		started++
	}
	return started, nil
}

// leave starts a process of this program that outlives this one.
func leave(what string) Verdict {
	self, err := os.Executable()
	if err != nil {
		return held("%v", err)
	}
	cmd := exec.Command(self, "helper", what)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if what == "writing" || what == "injecting" {
		cmd.Stdout, cmd.Stdin = os.Stdout, os.Stdin
	}
	if what == "injecting" {
		cmd.SysProcAttr = nil // it keeps the terminal
	}
	if err := cmd.Start(); err != nil {
		return held("%v", err)
	}
	return did("process %d stays", cmd.Process.Pid)
}

// helper is the program of such a process.
func helper(args []string) {
	signal.Ignore(unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTTOU, unix.SIGTTIN, unix.SIGTSTP)
	switch args[0] {
	case "stopped":
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	case "writing":
		for range 600 {
			time.Sleep(time.Second)
		}
	case "forking":
		self, _ := os.Executable()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			cmd := exec.Command(self, "helper", "nothing")
			if cmd.Start() != nil {
				break
			}
			_ = cmd.Process.Release()
			time.Sleep(20 * time.Millisecond)
		}
		return
	case "nothing":
		return
	case "injecting":
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		for err == nil {
			for _, char := range []byte(Injected) {
				_, _, _ = unix.Syscall(unix.SYS_IOCTL, tty.Fd(), unix.TIOCSTI, uintptr(unsafe.Pointer(&char)))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for range 600 {
		time.Sleep(time.Second)
	}
}

// supervisor returns the attempts at the processes of the upgrade outside.
func supervisor() []Attempt {
	return []Attempt{
		{Name: "kill-numbers", Wall: "supervisor", What: "signal 0 to the numbers that processes have outside", run: func() Verdict {
			if pid := plan().PID; pid > 0 {
				data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if strings.HasPrefix(string(data), Program+"\x00victim") {
					return broken("process %d is the test's", pid)
				}
			}
			return held("no process of the test's has that number in here")
		}},
		{Name: "parent", Wall: "supervisor", What: "finds a parent, a group or a session that is outside", run: func() Verdict {
			for pid := os.Getpid(); pid > 1; {
				var parent int
				data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if err != nil {
					break
				}
				rest := string(data)
				var state string
				var group, session int
				_, _ = fmt.Sscan(rest[strings.LastIndexByte(rest, ')')+1:], &state, &parent, &group, &session)
				if group == 0 {
					// Its group consists of processes outside: kill(0, …) would reach
					// them.
					return did("process %d is in a group from outside", pid)
				}
				pid = parent
			}
			return held("each group is of here")
		}},
		{Name: "run-apt-be", Wall: "supervisor", What: "finds /run/apt-be of the running system", run: func() Verdict {
			_, err := os.Lstat("/run/apt-be/hostile-planted")
			return refused(err, "it is there")
		}},
		{Name: "stand-ins", Wall: "supervisor", What: "replaces, writes and unlinks policy-rc.d and the programs that stand in for others", run: func() Verdict {
			var changed []string
			names := []string{"/usr/sbin/policy-rc.d"}
			if entries, err := os.ReadDir("/run/apt-be/bin"); err == nil {
				for _, entry := range entries {
					names = append(names, "/run/apt-be/bin/"+entry.Name())
				}
			}
			for _, name := range names {
				for what, err := range map[string]error{
					"wrote": opensForWriting(name), "chmod": unix.Chmod(name, 0o4755), "chown": unix.Chown(name, -1, MarkGID), "unlinked": unlinked(name),
				} {
					if err == nil {
						changed = append(changed, what+" "+name)
					}
				}
			}
			if len(changed) > 0 {
				return did("%.300s", strings.Join(changed, ", "))
			}
			return held("none of %d", len(names))
		}},
		{Name: "kill-all", Wall: "supervisor", Alone: true, What: "kill -9 -1", run: func() Verdict {
			_ = unix.Kill(-1, unix.SIGKILL)
			return did("killed all")
		}},
		{Name: "stop-all", Wall: "supervisor", Alone: true, What: "kill -STOP -1, and then itself ends", run: func() Verdict {
			err := unix.Kill(-1, unix.SIGSTOP)
			time.AfterFunc(3*time.Second, func() { _ = unix.Kill(-1, unix.SIGCONT) })
			time.Sleep(4 * time.Second)
			return did("%v", err)
		}},
		{Name: "kill-group", Wall: "supervisor", Alone: true, What: "kill -9 0 in the group of the frontend", run: func() Verdict {
			_ = unix.Kill(0, unix.SIGKILL)
			return did("killed the group")
		}},
		{Name: "kill-parents", Wall: "supervisor", Alone: true, What: "kills dpkg and the frontend above it", run: func() Verdict {
			var killed []string
			for pid := os.Getppid(); pid > 1; {
				data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if err != nil {
					break
				}
				var state string
				var parent int
				rest := string(data)
				_, _ = fmt.Sscan(rest[strings.LastIndexByte(rest, ')')+1:], &state, &parent)
				killed = append(killed, fmt.Sprint(unix.Kill(pid, unix.SIGKILL)))
				pid = parent
			}
			return did("%v", killed)
		}},
		{Name: "immutable", Wall: "supervisor", Alone: true, What: "chattr +i of its own root, of /etc, /var/log/apt and /usr/sbin", run: func() Verdict {
			return did("%v", errors.Join(setImmutable("/etc"), setImmutable("/var/log/apt"), setImmutable("/usr/sbin"), setImmutable("/var/cache/apt"), setImmutable("/")))
		}},
	}
}

// unlinked removes a file and restores it.
func unlinked(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o755)
}
