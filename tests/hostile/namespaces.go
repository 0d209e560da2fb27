package hostile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces returns the attempts to leave the chroot, and to create namespaces.
func namespaces() []Attempt {
	escape := func(name, what string, leave func() error) Attempt {
		return Attempt{Name: name, Wall: "namespaces", What: what + ", and looks around", run: func() Verdict {
			if err := leave(); err != nil {
				return held("%v", err)
			}
			return lookAround()
		}}
	}
	after := func(name, what string, do func() Verdict) Attempt {
		return Attempt{Name: name, Wall: "namespaces", What: "leaves the chroot, and then " + what, run: func() Verdict {
			if err := secondChroot(1); err != nil {
				return held("%v", err)
			}
			return do()
		}}
	}
	list := []Attempt{
		escape("chroot", "a second chroot below the working directory", func() error { return secondChroot(1) }),
		escape("chroot-nested", "twenty chroots, one in the other", func() error { return secondChroot(20) }),
		escape("chroot-self-root", "a chroot to /proc/self/root/..", func() error {
			return errors.Join(unix.Chdir("/proc/self/root/../.."), unix.Chroot("."))
		}),
		escape("chroot-thread", "a thread with a root of its own, whose cwd another one uses", chrootThread),
		escape("pivot-root", "pivot_root", func() error { return unix.PivotRoot("/tmp", "/tmp") }),
		after("user-namespace", "makes a user name space by clone, mounts cgroup2, proc, sysfs, tmpfs and overlay in it", func() Verdict {
			return cloned(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
		}),
		after("clone3-user", "makes a user name space by clone3", func() Verdict { return clone3(unix.CLONE_NEWUSER) }),
		after("escape-write", "writes where it is", func() Verdict {
			for _, name := range []string{"/hostile", "/proc/hostile", "/old"} {
				if os.Mkdir(name, 0o700) == nil {
					os.Remove(name)
					return broken("made %s outside of the chroot", name)
				}
			}
			return refused(unix.Chmod("/", 0o777), "changed the root outside of the chroot")
		}),
		after("escape-proc", "looks for process 1 in the /proc there", func() Verdict {
			if opensAtAll("/proc/1/exe") == nil || opensAtAll("/proc/1/mem") == nil || listsAnything("/proc/1/fd") == nil {
				return broken("/proc/1 of the init's root")
			}
			return held("nothing there")
		}),
		{Name: "user-namespace-chroot", Wall: "namespaces", What: "a user name space without leaving the chroot", run: func() Verdict {
			return cloned(unix.CLONE_NEWUSER)
		}},
		{Name: "clone3-all", Wall: "namespaces", What: "each kind of name space by clone3", run: func() Verdict {
			for _, flag := range []uint64{unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWCGROUP, unix.CLONE_NEWTIME, unix.CLONE_NEWUSER, unix.CLONE_NEWUSER | unix.CLONE_NEWNET} {
				if v := clone3(flag); v.Outcome != Held {
					return v
				}
			}
			return held("all refused")
		}},
		{Name: "unshare-all", Wall: "namespaces", What: "each kind of name space by unshare", run: func() Verdict {
			runtime.LockOSThread()
			var last error
			for _, flag := range []int{unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWCGROUP, unix.CLONE_NEWTIME} {
				if last = unix.Unshare(flag); last == nil {
					return broken("unshare %#x", flag)
				}
			}
			return held("%v", last)
		}},
		{Name: "unshare-program", Wall: "namespaces", What: "unshare -Ur, -m, -p and -n of util-linux", run: func() Verdict {
			var said string
			for _, option := range []string{"-Ur", "-m", "-p", "-n", "-C", "-Urmpf"} {
				out, err := command("unshare", option, "true")
				if err == nil {
					return broken("unshare %s", option)
				}
				said = out
			}
			return held("%s", said)
		}},
		{Name: "int80-user", Wall: "namespaces", What: "a user name space by the system calls of 32-bit programs", run: func() Verdict {
			const i386unshare, i386clone = 310, 120
			if code := int80(i386unshare, unix.CLONE_NEWNS, 0, 0); code == 0 {
				return broken("unshare by int 0x80")
			}
			code := int80(i386clone, uintptr(unix.CLONE_NEWUSER|syscall.SIGCHLD), 0, 0)
			if code == 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			if code > 0 {
				_, _ = unix.Wait4(code, nil, 0, nil)
				return broken("clone by int 0x80")
			}
			return held("%v", syscall.Errno(-code))
		}},
		{Name: "x32-unshare", Wall: "namespaces", What: "name spaces by the system calls of x32 programs", run: func() Verdict {
			runtime.LockOSThread()
			_, _, errno := unix.RawSyscall(1<<30|unix.SYS_UNSHARE, unix.CLONE_NEWNS, 0, 0)
			return refused(errnoOf(errno), "unshare by the numbers of x32")
		}},
	}
	return list
}

// secondChroot leaves a chroot, if the root of the process can be left by a second
// chroot.
func secondChroot(depth int) error {
	top, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	for range depth {
		dir, err := os.MkdirTemp("/tmp", "jail")
		if err != nil {
			dir = "/usr"
		}
		if err := unix.Mkdir(dir+"/tmp", 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			dir = "/usr"
		}
		if err := unix.Chroot(dir); err != nil {
			return err
		}
	}
	if err := unix.Fchdir(top); err != nil {
		return err
	}
	for range 100 {
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
	return unix.Chroot(".")
}

// chrootThread lets a thread with its own root go up from below another thread's root.
func chrootThread() error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // without unlocking: the thread ends with this function
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = secondChroot(2)
		}
		if err == nil {
			err = unix.Access("/etc/debian_version", unix.F_OK)
			if err == nil {
				err = errors.New("still a root file system")
			}
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		return fmt.Errorf("the thread: %w", err)
	}
	return secondChroot(2)
}

// lookAround judges where an escape has led: an empty decoy counts as nothing.
func lookAround() Verdict {
	entries, err := os.ReadDir("/")
	if err != nil {
		return held("the root can't be read: %v", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	for _, name := range names {
		if !slices.Contains([]string{"root", "proc", "dev", "old"}, name) {
			if _, err := os.Lstat("/" + Plan); err == nil && !slices.Contains(names, "old") {
				return held("the same root")
			}
			return broken("at %v", names)
		}
	}
	if os.Mkdir("/x", 0o700) == nil {
		return broken("can write to a root with %v", names)
	}
	return held("a decoy with %v", names)
}

// cloned forks into namespaces with raw system calls only, and mounts there what a
// script would want to mount.
func cloned(flags uintptr) Verdict {
	text := func(s string) uintptr { p, _ := unix.BytePtrFromString(s); return pin(p) }
	types := []string{"cgroup2", "proc", "sysfs", "tmpfs", "overlay"}
	var pointers []uintptr
	for _, name := range types {
		pointers = append(pointers, text(name))
	}
	place, options := text("/root"), text("lowerdir=/root,upperdir=/root,workdir=/root")
	runtime.LockOSThread()
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return held("%v", errno)
	}
	if pid == 0 {
		code := uintptr(1) // bit 0: the child ran; the others: the mounts that succeeded
		for i, name := range pointers {
			if _, _, errno := unix.RawSyscall6(unix.SYS_MOUNT, name, place, name, 0, options, 0); errno == 0 {
				code |= 2 << i
			}
		}
		unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
	var status unix.WaitStatus
	_, _ = unix.Wait4(int(pid), &status, 0, nil)
	var mounted []string
	for i, name := range types {
		if status.ExitStatus()&(2<<i) != 0 {
			mounted = append(mounted, name)
		}
	}
	return broken("made a user name space, and mounted %v there", mounted)
}

func clone3(flags uint64) Verdict {
	type cloneArgs struct{ flags, pidfd, child, parent, exit, stack, size, tls, setTID, setTIDSize, cgroup uint64 }
	args := cloneArgs{flags: flags, exit: uint64(unix.SIGCHLD)}
	runtime.LockOSThread()
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno != 0 {
		return held("%v", errno)
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, _ = unix.Wait4(int(pid), nil, 0, nil)
	return broken("clone3 with %#x", flags)
}

// mounts returns the attempts to mount. For the hooks of apt, the sandbox may report
// success without a mount, so each attempt looks for the mount.
func mounts() []Attempt {
	list := []Attempt{
		{Name: "mount-types", Wall: "namespaces", What: "mounts tmpfs, proc, sysfs, devtmpfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, configfs, efivarfs, mqueue, binfmt_misc, fuse and 9p", run: func() Verdict {
			var last error
			for _, kind := range []string{"tmpfs", "proc", "sysfs", "devtmpfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "configfs", "efivarfs", "mqueue", "binfmt_misc", "fuse", "9p", "ramfs", "devpts"} {
				if v := seen("/mnt", func() { last = unix.Mount("none", "/mnt", kind, 0, "") }); v.Outcome != Held {
					return broken("mounted %s", kind)
				}
			}
			return held("%v", last)
		}},
		{Name: "mount-disks", Wall: "namespaces", What: "mounts the top level of each block device", run: func() Verdict {
			var last error
			for _, node := range blockNodes() {
				if v := seen("/mnt", func() { last = unix.Mount(node, "/mnt", "btrfs", 0, "subvolid=5") }); v.Outcome != Held {
					return broken("mounted %s", node)
				}
				if v := seen("/mnt", func() { last = unix.Mount(node, "/mnt", "ext4", unix.MS_RDONLY, "") }); v.Outcome != Held {
					return broken("mounted %s", node)
				}
			}
			return held("%v", last)
		}},
		{Name: "mount-bind", Wall: "namespaces", What: "binds, moves and overlays directories", run: func() Verdict {
			var last error
			for _, v := range []Verdict{
				seen("/mnt", func() { last = unix.Mount("/proc/self/root/proc", "/mnt", "", unix.MS_BIND|unix.MS_REC, "") }),
				seen("/mnt", func() { last = unix.Mount("/proc", "/mnt", "", unix.MS_MOVE, "") }),
				seen("/mnt", func() { last = unix.Mount("overlay", "/mnt", "overlay", 0, "lowerdir=/etc:/usr") }),
			} {
				if v.Outcome != Held {
					return v
				}
			}
			return held("%v", last)
		}},
		{Name: "remount-writable", Wall: "namespaces", What: "remounts /proc/sys, /sys and what else is read-only for writing", run: func() Verdict {
			var last error
			for _, place := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/fs", "/sys", "/proc/1", "/run/apt-be/bin", "/usr/sbin/policy-rc.d"} {
				for _, flags := range []uintptr{unix.MS_REMOUNT, unix.MS_REMOUNT | unix.MS_BIND} {
					var before, after unix.Statfs_t
					if unix.Statfs(place, &before) != nil {
						continue
					}
					last = unix.Mount("", place, "", flags, "")
					if unix.Statfs(place, &after) == nil && before.Flags&unix.ST_RDONLY != 0 && after.Flags&unix.ST_RDONLY == 0 {
						return broken("%s is writable", place)
					}
				}
			}
			return held("%v", last)
		}},
		{Name: "unmount", Wall: "namespaces", What: "unmounts what hides something: /proc, /proc/1, /proc/sys, /dev, /sys, /run, policy-rc.d", run: func() Verdict {
			var last error
			for _, place := range []string{"/proc/1", "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/kcore", "/usr/sbin/policy-rc.d", "/run/apt-be/bin", "/var/cache/apt/archives", "/dev/null", "/dev/pts", "/dev", "/sys", "/run", "/proc"} {
				for _, flags := range []int{0, unix.MNT_DETACH, unix.MNT_FORCE} {
					if v := seen(place, func() { last = unix.Unmount(place, flags) }); v.Outcome != Held {
						return broken("unmounted %s", place)
					}
				}
			}
			return held("%v", last)
		}},
		{Name: "mount-new-calls", Wall: "namespaces", What: "fsopen, fspick, open_tree, move_mount, mount_setattr, fsmount", run: func() Verdict {
			if fd, err := unix.Fsopen("tmpfs", 0); err == nil {
				return broken("fsopen gave %d", fd)
			}
			if fd, err := unix.Fspick(unix.AT_FDCWD, "/", 0); err == nil {
				return broken("fspick gave %d", fd)
			}
			if fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE); err == nil {
				return broken("open_tree gave %d", fd)
			}
			if err := unix.MoveMount(unix.AT_FDCWD, "/proc", unix.AT_FDCWD, "/mnt", 0); err == nil {
				return broken("move_mount")
			}
			err := unix.MountSetattr(unix.AT_FDCWD, "/proc/sys", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
			return refused(err, "mount_setattr made /proc/sys writable")
		}},
		{Name: "mount-program", Wall: "namespaces", What: "mount -t tmpfs, mount --bind, mount -o loop", run: func() Verdict {
			var said string
			for _, args := range [][]string{{"-t", "tmpfs", "none", "/mnt"}, {"--bind", "/proc", "/mnt"}, {"-i", "-t", "sysfs", "none", "/mnt"}} {
				if v := seen("/mnt", func() { said, _ = command("mount", args...) }); v.Outcome != Held {
					return broken("mount %s", strings.Join(args, " "))
				}
			}
			return held("%s", said)
		}},
	}
	return list
}

// seen calls do, and reports whether another file system is at a place afterwards.
func seen(place string, do func()) Verdict {
	read := func() (unix.Stat_t, string) {
		var st unix.Stat_t
		_ = unix.Stat(place, &st)
		lines, _ := os.ReadFile("/proc/self/mountinfo")
		return st, string(lines)
	}
	before, mountsBefore := read()
	do()
	after, mountsAfter := read()
	if before.Dev != after.Dev || before.Ino != after.Ino || mountsBefore != mountsAfter {
		_ = unix.Unmount("/mnt", unix.MNT_DETACH)
		return broken("what is at %s changed", place)
	}
	return held("nothing changed")
}
