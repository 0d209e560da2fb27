package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// secret are files in /proc that tell of the running system's keys and memory.
var secret = []string{"keys", "key-users", "kcore", "kallsyms", "vmallocinfo", "sched_debug", "timer_list", "kpagecount", "kpageflags", "kpagecgroup"}

// proc mounts the sandbox's own processes. What else is there is the whole machine's,
// and read-only. The calling process has to be in the sandbox's PID namespace, and in
// its root.
func (a *assembler) proc() error {
	if err := mountAt("proc", "/proc", "proc", quiet, ""); err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err == nil || entry.Type() == fs.ModeSymlink {
			continue // a process, or a link to what is one's own
		}
		info, err := entry.Info()
		if err != nil || !info.IsDir() && info.Mode()&0o222 == 0 {
			continue
		}
		if err := a.freeze("/proc/" + entry.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range secret {
		err := a.bind("/dev/null", "/proc/"+name, false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return a.first()
}

// told is what /proc/1 says inside: what ps(1), pgrep(1), needrestart(1) and
// systemd-detect-virt(1) read of it.
var told = []string{"cgroup", "cmdline", "comm", "environ", "sched", "stat", "statm", "status"}

// first puts a picture of PID 1 over its directory in /proc. The kernel refuses
// scripts what is behind the links there, and systemctl(1) takes a /proc/1/root that
// it can't look at for one that is no other than its own; here it is an empty
// directory, and the sandbox's root a chroot.
func (a *assembler) first() error {
	texts := map[string][]byte{}
	for _, name := range told {
		data, err := os.ReadFile(filepath.Join("/proc/1", name))
		if err != nil {
			continue // not in this kernel
		}
		texts[name] = data
	}
	const dir = "/proc/1"
	if err := a.mount("tmpfs", dir, "tmpfs", quiet, "mode=555,size=256k"); err != nil {
		return err
	}
	if err := a.mkdir(dir+"/root", 0o555); err != nil {
		return err
	}
	for name, text := range texts {
		if err := a.write(dir+"/"+name, text, 0o444); err != nil {
			return err
		}
	}
	return a.mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|quiet, "mode=555,size=256k")
}
