package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pid1 returns the attempts at the sandbox's first process.
func pid1() []Attempt {
	return []Attempt{
		{Name: "root-sysctl", Wall: "pid1", What: "writes vm.swappiness, as it is, through /proc/PID/root of process 1 and its threads", run: func() Verdict {
			return throughRoot("proc/sys/vm/swappiness")
		}},
		{Name: "root-core-pattern", Wall: "pid1", What: "writes kernel.core_pattern, as it is, through that root", run: func() Verdict {
			return throughRoot("proc/sys/kernel/core_pattern")
		}},
		{Name: "root-panic", Wall: "pid1", What: "writes kernel.panic, as it is, through that root", run: func() Verdict {
			return throughRoot("proc/sys/kernel/panic")
		}},
		{Name: "root-irq", Wall: "pid1", What: "writes irq/default_smp_affinity, as it is, through that root", run: func() Verdict {
			return throughRoot("proc/irq/default_smp_affinity")
		}},
		{Name: "root-sysrq", Wall: "pid1", What: "opens sysrq-trigger through that root", run: func() Verdict {
			return eachPlace("root/proc/sysrq-trigger", opensForWriting)
		}},
		{Name: "root-looks", Wall: "pid1", What: "lists the root of process 1", run: func() Verdict {
			return eachPlace("root", foreignDirectory)
		}},
		{Name: "cwd-looks", Wall: "pid1", What: "lists the working directory of process 1", run: func() Verdict {
			return eachPlace("cwd", foreignDirectory)
		}},
		{Name: "root-chroot", Wall: "pid1", What: "chroot to the root of process 1, and looks around", run: chrootToFirst},
		{Name: "memory", Wall: "pid1", What: "opens the memory of process 1", run: func() Verdict {
			return eachPlace("mem", opensAtAll)
		}},
		{Name: "map-files", Wall: "pid1", What: "opens what process 1 has mapped", run: func() Verdict {
			return eachPlace("map_files", listsAnything)
		}},
		{Name: "name-spaces", Wall: "pid1", What: "opens the name spaces of process 1, and joins them", run: joinFirst},
		{Name: "secrets", Wall: "pid1", What: "reads environ, auxv, maps, smaps, stack, syscall and io of process 1", run: readFirst},
		{Name: "knobs", Wall: "pid1", What: "writes oom_score_adj, timerslack_ns, coredump_filter, clear_refs, comm and autogroup of process 1", run: knobs},
		{Name: "ptrace-attach", Wall: "pid1", What: "PTRACE_ATTACH to process 1 and its threads", run: func() Verdict { return eachThread(attach) }},
		{Name: "ptrace-seize", Wall: "pid1", What: "PTRACE_SEIZE of process 1 and its threads", run: func() Verdict { return eachThread(seize) }},
		{Name: "vm-write", Wall: "pid1", What: "process_vm_readv and process_vm_writev on process 1", run: func() Verdict { return eachThread(vmWrite) }},
		{Name: "pidfd-getfd", Wall: "pid1", What: "pidfd_getfd of each descriptor of process 1", run: pidfdGetfd},
		{Name: "kcmp", Wall: "pid1", What: "kcmp with process 1", run: func() Verdict {
			return eachThread(func(id int) error {
				_, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(id), 1, 0, 0, 0)
				return errnoOf(errno)
			})
		}},
		{Name: "robust-list", Wall: "pid1", What: "get_robust_list of process 1", run: func() Verdict {
			return eachThread(func(id int) error {
				var head, size uintptr
				_, _, errno := unix.Syscall(unix.SYS_GET_ROBUST_LIST, uintptr(id), uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size)))
				return errnoOf(errno)
			})
		}},
		{Name: "move-pages", Wall: "pid1", What: "move_pages of process 1", run: func() Verdict {
			return eachThread(func(id int) error {
				page, status := uintptr(0x400000), int32(0)
				_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, uintptr(id), 1, uintptr(unsafe.Pointer(&page)), 0, uintptr(unsafe.Pointer(&status)), 0)
				return errnoOf(errno)
			})
		}},
		{Name: "stop-and-kill", Wall: "pid1", What: "SIGSTOP and SIGKILL to process 1, which the kernel keeps from the first of a name space", run: func() Verdict {
			return did("%v, %v", unix.Kill(1, unix.SIGSTOP), unix.Kill(1, unix.SIGKILL))
		}},
		{Name: "scheduling", Wall: "pid1", What: "affinity, priority and scheduler of process 1", run: func() Verdict {
			var set unix.CPUSet
			set.Set(0)
			return did("%v, %v", unix.SchedSetaffinity(1, &set), unix.Setpriority(unix.PRIO_PROCESS, 1, 19))
		}},
		{Name: "signals", Wall: "pid1", Alone: true, What: "each signal to process 1: what it has a handler for reaches it", run: func() Verdict {
			for signal := unix.Signal(1); signal < 65; signal++ {
				_ = unix.Kill(1, signal)
			}
			return did("sent them")
		}},
		{Name: "starve", Wall: "pid1", Alone: true, What: "prlimit: no descriptors, no memory, no time for process 1", run: func() Verdict {
			var errs []error
			for _, limit := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_AS, unix.RLIMIT_DATA, unix.RLIMIT_CPU, unix.RLIMIT_FSIZE} {
				errs = append(errs, unix.Prlimit(1, limit, &unix.Rlimit{}, nil))
			}
			return did("%v", errs)
		}},
		{Name: "exe-setuid", Wall: "exe", What: "chmod 4755 of the program of process 1", run: func() Verdict {
			return eachPlace("exe", func(path string) error { return unix.Chmod(path, 0o4755) })
		}},
		{Name: "exe-owner", Wall: "exe", What: "chown of the program of process 1", run: func() Verdict {
			return eachPlace("exe", func(path string) error { return unix.Chown(path, 0, 0) })
		}},
		{Name: "exe-write", Wall: "exe", What: "opens the program of process 1", run: func() Verdict {
			return eachPlace("exe", opensAtAll)
		}},
		{Name: "exe-own", Wall: "exe", What: "finds the program of process 1 by the interpreter that /proc/self/exe was executed from", run: func() Verdict {
			return refused(opensForWriting("/proc/self/exe"), "opened the program that runs for writing")
		}},
		{Name: "fd-reopen", Wall: "journal", What: "opens each descriptor of process 1 again, the journal and the lock files among them", run: reopenFirst},
		{Name: "fd-reopen-parents", Wall: "journal", What: "opens again what processes above this one have open and is of no mount in here", run: reopenOthers},
		{Name: "fdinfo", Wall: "journal", What: "reads what descriptors process 1 has", run: func() Verdict {
			return eachPlace("fdinfo", listsAnything)
		}},
	}
}

// firsts returns the names of process 1 in /proc, and of its threads, which /proc does
// not list but finds by number.
func firsts() []string {
	names := []string{
		"/proc/1", "/proc/0", "/proc/self/../1", "/proc/thread-self/../../../1", "/proc/self/root/proc/1",
		"/proc/self/cwd/../../../../../../proc/1", "/proc/1/task/1", "/proc/1/../1", "/proc/self/task/../../1",
	}
	for _, id := range firstThreads() {
		names = append(names, fmt.Sprintf("/proc/%d", id), fmt.Sprintf("/proc/%d/task/%d", id, id), fmt.Sprintf("/proc/%d/task/1", id))
	}
	return names
}

// firstThreads returns the thread numbers of process 1. If /proc does not tell them, it
// returns all numbers that /proc knows and does not list as processes.
func firstThreads() []int {
	listed := make(map[int]bool)
	if entries, err := os.ReadDir("/proc"); err == nil {
		for _, entry := range entries {
			if id, err := strconv.Atoi(entry.Name()); err == nil && id != 1 {
				listed[id] = true
			}
		}
	}
	var threads []int
	for id := 2; id < 400; id++ {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
		if err != nil || listed[id] {
			continue
		}
		if !bytes.Contains(data, []byte("\nTgid:\t1\n")) {
			continue
		}
		threads = append(threads, id)
	}
	return threads
}

// eachPlace calls do for a file of each name of process 1. The verdict is Broken if one
// call succeeded.
func eachPlace(file string, do func(string) error) Verdict {
	var last error
	for _, name := range firsts() {
		path := name + "/" + file
		if err := do(path); err == nil {
			return broken("%s", path)
		} else if last == nil || !errors.Is(err, fs.ErrNotExist) {
			last = err
		}
	}
	return held("%v", last)
}

func eachThread(do func(id int) error) Verdict {
	var last error
	for _, id := range append([]int{1}, firstThreads()...) {
		if last = do(id); last == nil {
			return broken("thread %d", id)
		}
		if errors.Is(last, unix.EFAULT) { // the call succeeded
			return broken("thread %d: %v", id, last)
		}
	}
	return held("%v", last)
}

func errnoOf(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func opensForWriting(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func opensAtAll(path string) error {
	for _, mode := range []int{unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY, unix.O_PATH} {
		fd, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err != nil {
			continue
		}
		unix.Close(fd)
		if mode != unix.O_PATH { // which is only a name
			return nil
		}
	}
	return unix.EACCES
}

// throughRoot rewrites a file below the root of process 1 with its own content.
func throughRoot(file string) Verdict {
	return eachPlace("root/"+file, rewrite)
}

func rewrite(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(data)
	return err
}

// foreignDirectory succeeds on a directory that is not empty and not this process's
// root.
func foreignDirectory(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if own, err := os.Stat("/"); err != nil || os.SameFile(own, info) {
		return errors.New("it is the root in here")
	}
	return listsAnything(path)
}

func listsAnything(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("%s: nothing there", path)
	}
	return nil
}

func chrootToFirst() Verdict {
	own, err := os.Stat("/")
	if err != nil {
		return held("%v", err)
	}
	for _, name := range firsts() {
		if unix.Chroot(name+"/root") != nil {
			continue
		}
		if info, err := os.Stat("/"); err == nil && !os.SameFile(own, info) {
			return lookAround()
		}
	}
	return held("nowhere to go")
}

// joinFirst opens and joins namespaces. A thread that has joined one is not used again.
func joinFirst() Verdict {
	runtime.LockOSThread()
	var last error = unix.ENOENT
	for _, name := range firsts() {
		for _, space := range []string{"user", "mnt", "pid", "pid_for_children", "net", "ipc", "uts", "cgroup", "time"} {
			fd, err := unix.Open(name+"/ns/"+space, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				last = err
				continue
			}
			err = unix.Setns(fd, 0)
			unix.Close(fd)
			return broken("opened %s/ns/%s; joins it: %v", name, space, err)
		}
	}
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return held("%v, %v", last, err)
	}
	defer unix.Close(fd)
	return refused(unix.Setns(fd, unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWUTS), "joined the name spaces by a pidfd")
}

func readFirst() Verdict {
	for _, file := range []string{"auxv", "maps", "smaps", "numa_maps", "stack", "syscall", "io", "environ", "pagemap", "personality"} {
		for _, name := range firsts() {
			data, err := os.ReadFile(name + "/" + file)
			if err == nil && len(data) > 0 && !(file == "environ" && bytes.HasPrefix(data, []byte("container=")) && bytes.Count(data, []byte{'='}) == 1) {
				return broken("%s/%s has %d bytes", name, file, len(data))
			}
		}
	}
	return held("nothing could be read")
}

// knobs sets values that belong only to the first process.
func knobs() Verdict {
	var set []string
	for _, name := range firsts() {
		for file, value := range map[string]string{"oom_score_adj": "1000", "timerslack_ns": "1000000", "coredump_filter": "0", "comm": "x", "autogroup": "19", "clear_refs": "1"} {
			if os.WriteFile(name+"/"+file, []byte(value), 0) == nil {
				set = append(set, name+"/"+file)
			}
		}
	}
	return did("%d: %.200s", len(set), strings.Join(set, " "))
}

func attach(id int) error {
	err := unix.PtraceAttach(id)
	if err == nil {
		_, _ = unix.Wait4(id, nil, unix.WALL, nil)
		_ = unix.PtraceDetach(id)
	}
	return err
}

func seize(id int) error {
	err := unix.PtraceSeize(id)
	if err == nil {
		_ = unix.PtraceInterrupt(id)
		_, _ = unix.Wait4(id, nil, unix.WALL, nil)
		_ = unix.PtraceDetach(id)
	}
	return err
}

// vmWrite reads and writes the header of a Go program. A fault means that the access
// was allowed.
func vmWrite(id int) error {
	buffer := make([]byte, 8)
	local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
	remote := []unix.RemoteIovec{{Base: 0x400000, Len: 8}}
	if _, err := unix.ProcessVMReadv(id, local, remote, 0); err == nil || !errors.Is(err, unix.EPERM) {
		return nil
	}
	_, err := unix.ProcessVMWritev(id, local, remote, 0)
	return err
}

func pidfdGetfd() Verdict {
	var last error
	for _, id := range append([]int{1}, firstThreads()...) {
		pidfd, err := unix.PidfdOpen(id, 0)
		if err != nil {
			last = err
			continue
		}
		for n := range 64 {
			fd, err := unix.PidfdGetfd(pidfd, n, 0)
			if err == nil {
				name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
				return broken("has descriptor %d of process %d: %s", n, id, name)
			}
			last = err
		}
		unix.Close(pidfd)
	}
	return held("%v", last)
}

// reopenFirst reopens the files of process 1.
func reopenFirst() Verdict {
	var opened []string
	for _, name := range firsts() {
		for n := range 64 {
			path := fmt.Sprintf("%s/fd/%d", name, n)
			target, err := os.Readlink(path)
			if err != nil {
				continue
			}
			if opensAtAll(path) == nil {
				opened = append(opened, path+" -> "+target)
			}
		}
		if len(opened) > 0 {
			return broken("%s", strings.Join(opened, " "))
		}
	}
	return held("nothing could be opened")
}

// reopenOthers looks in the descriptors of all processes for files that are on no mount
// of this namespace: they came from outside.
func reopenOthers() Verdict {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	seen := 0
	for _, process := range processes {
		descriptors, _ := filepath.Glob(process + "/fd/*")
		for _, descriptor := range descriptors {
			seen++
			if from := foreign(process, filepath.Base(descriptor)); from != "" {
				return broken("%s is %s", descriptor, from)
			}
		}
	}
	return held("%d descriptors are all of here", seen)
}

// foreign describes the file of a process's descriptor if the file is on no mount in
// the sandbox; otherwise it returns "".
func foreign(process, descriptor string) string {
	path := process + "/fd/" + descriptor
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFBLK, unix.S_IFCHR:
	case unix.S_IFIFO:
		if strings.HasPrefix(target, "pipe:") {
			return ""
		}
	default:
		return ""
	}
	if strings.HasPrefix(target, "/memfd:") || strings.HasPrefix(target, "anon_inode:") {
		return ""
	}
	info, err := os.ReadFile(process + "/fdinfo/" + descriptor)
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	_, id, _ := strings.Cut(string(info), "mnt_id:\t")
	id, _, _ = strings.Cut(id, "\n")
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.HasPrefix(line, id+" ") {
			return ""
		}
	}
	return fmt.Sprintf("%s, of mount %s, mode %o", target, id, st.Mode)
}
