package hostile

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keyring returns the attempts at the kernel's keys. Some of root's keys belong to the
// whole machine.
func keyring() []Attempt {
	const (
		thread, process, session, user, userSession = -1, -2, -3, -4, -5
	)
	rings := []int{user, userSession, session, process, thread}
	find := func() (int, error) {
		key := plan().Key
		if key == "" {
			key = "apt-be-hostile"
		}
		var last error
		for _, ring := range rings {
			id, err := unix.KeyctlSearch(ring, "user", key, 0)
			if err == nil {
				return id, nil
			}
			last = err
		}
		// The table of keys contains their numbers.
		data, err := os.ReadFile("/proc/keys")
		if err != nil {
			return 0, fmt.Errorf("%w, %w", last, err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			var id int
			if strings.Contains(line, key) {
				if _, err := fmt.Sscanf(line, "%x", &id); err == nil {
					return id, nil
				}
			}
		}
		return 0, last
	}
	onKey := func(do func(id int) error, what string) func() Verdict {
		return func() Verdict {
			id, err := find()
			if err != nil {
				return held("%v", err)
			}
			return refused(do(id), "%s", what)
		}
	}
	return []Attempt{
		{Name: "key-search", Wall: "keyring", What: "finds a key of root's in @u, @us, @s, @p, @t", run: onKey(func(int) error { return nil }, "found the key")},
		{Name: "key-read", Wall: "keyring", What: "reads that key", run: onKey(func(id int) error {
			_, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, make([]byte, 64), 0)
			return err
		}, "read the key")},
		{Name: "key-permissions", Wall: "keyring", What: "changes that key's permissions", run: onKey(func(id int) error {
			return unix.KeyctlSetperm(id, 0x3f3f0000)
		}, "set them")},
		{Name: "key-link", Wall: "keyring", What: "links that key to a keyring of its own", run: onKey(func(id int) error {
			_, err := unix.KeyctlInt(unix.KEYCTL_LINK, id, process, 0, 0)
			return err
		}, "linked it")},
		{Name: "key-timeout", Wall: "keyring", What: "lets that key expire, at a time far away", run: onKey(func(id int) error {
			_, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, 1<<20, 0, 0)
			return err
		}, "set it")},
		{Name: "key-add", Wall: "keyring", What: "adds a key to @u, @us and @s", run: func() Verdict {
			var last error
			for _, ring := range []int{user, userSession, session} {
				id, err := unix.AddKey("user", "apt-be-hostile-added", []byte("x"), ring)
				if err == nil {
					_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, ring, 0, 0)
					return broken("added a key to %d", ring)
				}
				last = err
			}
			return held("%v", last)
		}},
		{Name: "key-request", Wall: "keyring", What: "request_key with a callout, which the running system's /sbin/request-key would answer", run: func() Verdict {
			_, err := unix.RequestKey("user", "apt-be-hostile-none", "callout", user)
			if err == unix.EPERM || err == unix.ENOSYS {
				return held("%v", err)
			}
			return broken("asked: %v", err)
		}},
		{Name: "key-persistent", Wall: "keyring", What: "gets root's persistent keyring, and joins a session keyring", run: func() Verdict {
			if id, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, -1, process, 0, 0); err == nil {
				return broken("has %x", id)
			}
			if id, err := unix.KeyctlGetKeyringID(user, true); err == nil {
				return broken("@u is %x", id)
			}
			_, err := unix.KeyctlJoinSessionKeyring("_ses")
			return refused(err, "joined one")
		}},
		{Name: "key-int80", Wall: "keyring", What: "keyctl by the system calls of 32-bit programs, and of x32", run: func() Verdict {
			ring := user // only its last 32 bits count
			if id := int80(288, unix.KEYCTL_GET_KEYRING_ID, uintptr(uint32(ring)), 1); id > 0 {
				return broken("@u is %x by int 0x80", id)
			}
			id, _, errno := unix.RawSyscall(1<<30|unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, uintptr(ring), 1)
			if errno == 0 {
				return broken("@u is %x by the numbers of x32", id)
			}
			return held("%v", errno)
		}},
		{Name: "key-unlink", Wall: "keyring", What: "unlinks that key of root's", run: onKey(func(id int) error {
			var last error
			for _, ring := range rings {
				if _, last = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, ring, 0, 0); last == nil {
					return nil
				}
			}
			return last
		}, "unlinked it")},
		{Name: "key-revoke", Wall: "keyring", What: "revokes and invalidates that key", run: onKey(func(id int) error {
			_, err := unix.KeyctlInt(unix.KEYCTL_REVOKE, id, 0, 0, 0)
			if err != nil {
				_, err = unix.KeyctlInt(unix.KEYCTL_INVALIDATE, id, 0, 0, 0)
			}
			return err
		}, "did it")},
	}
}

// pinned keeps the objects alive that pointers in numbers point to.
var pinned []any

func pin(p *byte) uintptr {
	pinned = append(pinned, p)
	return uintptr(unsafe.Pointer(p))
}

// kernel returns the attempts by system calls that no maintainer script needs, with
// arguments that have no effect where the call is allowed.
func kernel() []Attempt {
	type call struct {
		name, what string
		number     uintptr
		args       [6]uintptr
	}
	pointer := func(s string) uintptr { p, _ := unix.BytePtrFromString(s); return pin(p) }
	words := func(values ...uint32) uintptr {
		structure := new([64]uint32)
		copy(structure[:], values)
		pinned = append(pinned, structure)
		return uintptr(unsafe.Pointer(structure))
	}
	empty := words()
	none := pointer("/none/at/all")
	const wrong = ^uintptr(0)
	calls := []call{
		{"reboot", "reboot with a command that there isn't", unix.SYS_REBOOT, [6]uintptr{unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, 99}},
		{"kexec-load", "kexec_load with flags that there aren't", unix.SYS_KEXEC_LOAD, [6]uintptr{0, 0, 0, 0xffff}},
		{"kexec-file", "kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, [6]uintptr{wrong, wrong, 0, 0, 0xffff}},
		{"init-module", "init_module of nothing", unix.SYS_INIT_MODULE, [6]uintptr{empty, 16, empty}},
		{"finit-module", "finit_module of no file", unix.SYS_FINIT_MODULE, [6]uintptr{wrong, empty, 0}},
		{"delete-module", "delete_module of none", unix.SYS_DELETE_MODULE, [6]uintptr{pointer("apt_be_none"), unix.O_NONBLOCK}},
		{"swapon", "swapon", unix.SYS_SWAPON, [6]uintptr{none}},
		{"swapoff", "swapoff", unix.SYS_SWAPOFF, [6]uintptr{none}},
		{"acct", "acct", unix.SYS_ACCT, [6]uintptr{none}},
		{"settimeofday", "settimeofday of the time zone that is", unix.SYS_SETTIMEOFDAY, [6]uintptr{0, empty}},
		{"sethostname", "sethostname", unix.SYS_SETHOSTNAME, [6]uintptr{pointer("hostile"), 7}},
		{"setdomainname", "setdomainname", unix.SYS_SETDOMAINNAME, [6]uintptr{pointer("hostile"), 7}},
		{"syslog", "syslog: a level of the console that there isn't", unix.SYS_SYSLOG, [6]uintptr{8, 0, 99}},
		{"syslog-clear", "syslog: clears the kernel's log", unix.SYS_SYSLOG, [6]uintptr{5, 0, 0}},
		{"bpf", "bpf: makes a map", unix.SYS_BPF, [6]uintptr{0, words(2, 4, 4, 1), 48}},
		{"perf", "perf_event_open", unix.SYS_PERF_EVENT_OPEN, [6]uintptr{words(1, 112), 0, wrong, wrong, 0}},
		{"userfaultfd", "userfaultfd", unix.SYS_USERFAULTFD, [6]uintptr{1}},
		{"io-uring", "io_uring_setup", unix.SYS_IO_URING_SETUP, [6]uintptr{8, empty}},
		{"fanotify", "fanotify_init", unix.SYS_FANOTIFY_INIT, [6]uintptr{0, 0}},
		{"quotactl", "quotactl: turns quotas off", unix.SYS_QUOTACTL, [6]uintptr{0x800003 << 8, none, 0, 0}},
		{"handle", "open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [6]uintptr{wrong, empty, 0}},
		{"iopl", "iopl", unix.SYS_IOPL, [6]uintptr{3}},
		{"ioperm", "ioperm", unix.SYS_IOPERM, [6]uintptr{0x80, 1, 1}},
		{"lookup-dcookie", "lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, [6]uintptr{1, empty, 16}},
		{"nfsservctl", "nfsservctl", unix.SYS_NFSSERVCTL, [6]uintptr{}},
		{"migrate-pages", "migrate_pages of process 1", unix.SYS_MIGRATE_PAGES, [6]uintptr{1, 1, empty, empty}},
		{"quotactl-fd", "quotactl_fd", unix.SYS_QUOTACTL_FD, [6]uintptr{wrong, 0x800003 << 8, 0, 0}},
	}
	var list []Attempt
	for _, c := range calls {
		// If these calls are allowed, they fail only because of a wrong file or
		// process.
		list = append(list, Attempt{Name: "call-" + c.name, Wall: "kernel", What: c.what, run: func() Verdict {
			result, _, errno := unix.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
			switch errno {
			case unix.EPERM, unix.EACCES, unix.ENOSYS:
				return held("%v", errno)
			case 0:
				return broken("%s gave %d", c.what, result)
			}
			if c.name == "quotactl" || c.name == "quotactl-fd" || c.name == "migrate-pages" {
				return held("%v", errno) // the kernel checks the arguments first
			}
			return broken("%s is allowed: %v", c.what, errno)
		}})
	}
	return append(list,
		Attempt{Name: "adjtimex", Wall: "kernel", What: "adjtimex: sets the tick that is set", run: func() Verdict {
			var now unix.Timex
			if _, err := unix.Adjtimex(&now); err != nil {
				return held("%v", err)
			}
			_, err := unix.Adjtimex(&unix.Timex{Modes: 0x4000, Tick: now.Tick})
			return refused(err, "set the tick")
		}},
		Attempt{Name: "handle-btrfs", Wall: "kernel", What: "opens the roots of subvolumes 5 and 256 to 300 by handles", run: func() Verdict {
			mount, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(mount)
			for root := uint64(5); root < 300; root++ {
				if root == 6 {
					root = 256
				}
				data := make([]byte, 20) // objectid, root, generation
				*(*uint64)(unsafe.Pointer(&data[0])) = 256
				*(*uint64)(unsafe.Pointer(&data[8])) = root
				fd, openErr := unix.OpenByHandleAt(mount, unix.NewFileHandle(0x4d, data), unix.O_RDONLY|unix.O_DIRECTORY)
				if openErr == nil {
					unix.Close(fd)
					return broken("opened the root of subvolume %d", root)
				}
				if err = openErr; err != unix.EPERM && err != unix.ENOSYS {
					return broken("open_by_handle_at is allowed: %v", err)
				}
			}
			return held("%v", err)
		}},
		Attempt{Name: "capabilities", Wall: "kernel", What: "gains capabilities: by a setuid program, securebits, ambient ones, an executable with file capabilities", run: func() Verdict {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var all [2]unix.CapUserData
			for i := range all {
				all[i] = unix.CapUserData{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}
			}
			if unix.Capset(&header, &all[0]) == nil {
				return broken("has all")
			}
			status, _ := os.ReadFile("/proc/self/status")
			_, effective, _ := strings.Cut(string(status), "CapEff:\t")
			effective, _, _ = strings.Cut(effective, "\n")
			var bits uint64
			_, _ = fmt.Sscanf(effective, "%x", &bits)
			for _, c := range []uint{unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_MKNOD, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN, unix.CAP_SYSLOG, unix.CAP_SYS_PACCT, unix.CAP_MAC_ADMIN, unix.CAP_AUDIT_CONTROL, unix.CAP_CHECKPOINT_RESTORE} {
				if bits&(1<<c) != 0 {
					return broken("has capability %d", c)
				}
			}
			return held("has %s", effective)
		}},
		Attempt{Name: "shared-memory", Wall: "kernel", What: "finds System V and POSIX objects of the running system", run: func() Verdict {
			var used []string
			for _, name := range []string{"shm", "sem", "msg"} {
				if data, err := os.ReadFile("/proc/sysvipc/" + name); err == nil && strings.Count(string(data), "\n") > 1 {
					used = append(used, name)
				}
			}
			if len(used) > 0 {
				return broken("there are %v", used)
			}
			return held("there are none")
		}},
	)
}
