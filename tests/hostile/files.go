package hostile

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// command runs a program and returns the first line of its output.
func command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" && err != nil {
		line = err.Error()
	}
	return line, err
}

// files returns the attempts at /proc, /sys and the control groups. The running system
// has the same kernel, so a write to one of these files changes the running system.
func files() []Attempt {
	return []Attempt{
		{Name: "proc-all", Wall: "proc", What: "opens each file of /proc that is no process's for writing: sys, sysrq-trigger, irq, scsi, mtrr, acpi, driver, fs, bus, asound, net", run: func() Verdict {
			return walk("/proc", func(path string) bool {
				name := filepath.Base(path)
				return filepath.Dir(path) == "/proc" && (name[0] >= '0' && name[0] <= '9' || name == "self" || name == "thread-self")
			})
		}},
		{Name: "proc-net", Wall: "proc", What: "opens each file of /proc/self/net for writing", run: func() Verdict {
			return walk("/proc/self/net", nil)
		}},
		{Name: "sysctl-paths", Wall: "proc", What: "writes vm.swappiness by other names of /proc/sys", run: func() Verdict {
			var last error
			for _, top := range []string{"/proc/self/root", "/proc/thread-self/root", "/proc/self/cwd/../../../../../..", "/proc/self/task/../../..", "/dev/fd/../../..", "/proc/2/root", "/proc/3/root"} {
				if last = rewrite(top + "/proc/sys/vm/swappiness"); last == nil {
					return broken("%s", top)
				}
			}
			return held("%v", last)
		}},
		{Name: "sysctl-program", Wall: "proc", What: "sysctl -w", run: func() Verdict {
			value, err := os.ReadFile("/proc/sys/vm/swappiness")
			if err != nil {
				return held("%v", err)
			}
			said, err := command("sysctl", "-w", "vm.swappiness="+strings.TrimSpace(string(value)))
			if err == nil && !strings.Contains(said, "ead-only") && !strings.Contains(said, "denied") {
				return broken("%s", said)
			}
			return held("%s", said)
		}},
		{Name: "sysctl-call", Wall: "proc", What: "the system call _sysctl, and that of 32-bit programs", run: func() Verdict {
			_, _, errno := unix.RawSyscall(unix.SYS__SYSCTL, 0, 0, 0)
			code := int80(149, 0, 0, 0)
			if errno == 0 || code == 0 {
				return broken("it works")
			}
			return held("%v", errno)
		}},
		{Name: "proc-memory", Wall: "proc", What: "reads kcore, kmsg, kpagecount, kpageflags, vmallocinfo and kallsyms' addresses", run: func() Verdict {
			for _, name := range []string{"kcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup"} {
				f, err := os.OpenFile("/proc/"+name, os.O_RDONLY|unix.O_NONBLOCK, 0)
				if err != nil {
					continue
				}
				n, _ := f.Read(make([]byte, 64))
				f.Close()
				if n > 0 {
					return broken("read %d bytes of /proc/%s", n, name)
				}
			}
			return held("no file of the kernel's memory could be read")
		}},
		{Name: "proc-keys", Wall: "proc", What: "finds root's keys in /proc/keys", run: func() Verdict {
			data, err := os.ReadFile("/proc/keys")
			if key := plan().Key; err == nil && key != "" && strings.Contains(string(data), key) {
				return broken("%s is listed", key)
			}
			return held("%d bytes, %v", len(data), err)
		}},
		{Name: "proc-other-processes", Wall: "proc", What: "sees a process outside", run: func() Verdict {
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, name := range names {
				if data, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(data), Program+"\x00victim") {
					return broken("%s is the test's", name)
				}
			}
			return held("%d processes are all of here", len(names))
		}},
		{Name: "sys-all", Wall: "sys", What: "opens each file of /sys for writing: power/state, kernel/mm, block queues, parameters of modules, fs/btrfs, bind and unbind of drivers", run: func() Verdict {
			return walk("/sys", nil)
		}},
		{Name: "sys-paths", Wall: "sys", What: "opens files of /sys for writing by other names", run: func() Verdict {
			var last error
			for _, top := range []string{"/proc/self/root/sys", "/proc/2/root/sys", "/dev/fd/../../../sys", "/sys/block/../../sys", "/sys/class/block/../../../sys"} {
				for _, name := range []string{"kernel/mm/transparent_hugepage/enabled", "kernel/mm/ksm/run", "power/state", "module/btrfs/uevent", "kernel/uevent_helper", "kernel/rcu_expedited"} {
					if last = opensForWriting(top + "/" + name); last == nil {
						return broken("%s/%s", top, name)
					}
				}
			}
			return held("%v", last)
		}},
		{Name: "sys-debugging", Wall: "sys", What: "finds debugfs, tracefs, securityfs, bpffs, configfs, pstore and efivars that are mounted", run: func() Verdict {
			for _, name := range []string{"/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/bpf", "/sys/kernel/config", "/sys/fs/pstore", "/sys/fs/fuse/connections", "/sys/fs/selinux"} {
				if listsAnything(name) == nil {
					return broken("%s has something", name)
				}
			}
			return held("none has anything")
		}},
		{Name: "cgroup-files", Wall: "cgroup", What: "opens each file of control groups for writing, and moves out of its own", run: func() Verdict {
			if entries, err := os.ReadDir("/sys/fs/cgroup"); err != nil || len(entries) == 0 {
				return held("no control groups: %v", err)
			}
			return walk("/sys/fs/cgroup", nil)
		}},
		{Name: "cgroup-kill", Wall: "cgroup", What: "leaves the chroot, makes a user name space, mounts cgroup2 there", run: func() Verdict {
			if err := secondChroot(1); err != nil {
				return held("%v", err)
			}
			return cloned(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP)
		}},
		{Name: "cgroup-clone-into", Wall: "cgroup", What: "clone3 into another control group", run: func() Verdict {
			fd, err := unix.Open("/sys/fs/cgroup", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			var st unix.Statfs_t
			if unix.Fstatfs(fd, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
				return broken("a cgroup2 is there")
			}
			return held("no cgroup2 there")
		}},
	}
}

// walk opens every writable file below a directory, without writing. The verdict is
// Broken if one can be opened.
func walk(top string, skip func(string) bool) Verdict {
	var last error
	var opened []string
	tried := 0
	end := time.Now().Add(limit * 8 / 10)
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case skip != nil && skip(path):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case time.Now().After(end):
			return fs.SkipAll
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o222 == 0 {
			return nil // another file may be mounted over a file, to hide it
		}
		tried++
		if err := opensForWriting(path); err == nil {
			opened = append(opened, path)
		} else {
			last = err
		}
		return nil
	})
	if len(opened) > 0 {
		return broken("%d of %d files of %s open for writing: %.400s", len(opened), tried, top, strings.Join(opened, " "))
	}
	return held("%d files of %s: %v", tried, top, last)
}
