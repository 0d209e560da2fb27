package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// secret are files in /proc that tell of the running system's keys and memory.
var secret = []string{"keys", "key-users", "kcore", "kallsyms", "vmallocinfo", "sched_debug", "timer_list", "kpagecount", "kpageflags", "kpagecgroup"}

// proc mounts the sandbox's own processes, read-only: the rest of /proc is the whole
// machine's, and so are the modes of its files, and the tables of networks have files
// that firewalls are set up by. The calling process has to be in the sandbox's PID
// namespace, and in its root.
func (a *assembler) proc() error {
	if err := mountAt("proc", "/proc", "proc", quiet, ""); err != nil {
		return err
	}
	for _, name := range secret {
		err := a.bind("/dev/null", "/proc/"+name, false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := a.first(); err != nil {
		return err
	}
	return mountAt("", "/proc", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|quiet, "")
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
