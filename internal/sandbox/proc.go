package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// secret are files in /proc that reveal keys and memory of the running system.
var secret = []string{"keys", "key-users", "kcore", "kallsyms", "vmallocinfo", "sched_debug", "timer_list", "kpagecount", "kpageflags", "kpagecgroup"}

// proc mounts the sandbox's own processes, read-only: the rest of /proc belongs to the
// whole machine, with the modes of its files, and some network tables are files that
// set up firewalls. The calling process must be in the sandbox's PID namespace and in
// its root.
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

// told are the files of /proc/1 that ps(1), pgrep(1), needrestart(1) and
// systemd-detect-virt(1) read.
var told = []string{"cgroup", "cmdline", "comm", "environ", "sched", "stat", "statm", "status"}

// first mounts a picture of PID 1 over its directory in /proc. The kernel refuses
// scripts the targets of the links there, and systemctl(1) takes an unreadable
// /proc/1/root for its own root. In the picture /proc/1/root is an empty directory, so
// systemctl takes the sandbox's root for a chroot.
func (a *assembler) first() error {
	texts := map[string][]byte{}
	for _, name := range told {
		data, err := os.ReadFile(filepath.Join("/proc/1", name))
		if err != nil {
			continue // this kernel has no such file
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
