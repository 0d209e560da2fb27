package btrfs_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/hostile"
)

// state is the state that attempts must not change, by kind and name.
type state map[string]map[string]string

// look describes the machine, and the kernel state that it shares with the host.
func (h *hostileLab) look(t *testing.T) state {
	t.Helper()
	return state{
		"running root": h.Fingerprint(t),
		"archives":     downloads(t, h.Path(hostile.Archives)),
		"sysctls":      sysctls(t),
		"device nodes": deviceNodes(t),
		"terminals":    h.terminals(t),
		"keys":         h.keys(t),
		"processes":    h.processes(t),
		"cgroups":      controlGroups(),
		"mounts":       {"list": strings.Join(h.Mounts(t), "\n")},
		"contacts":     {"list": h.Shell(t, "cat /run/hostile/contacts")},
		"session":      {"output": h.session.Output()},
	}
}

// unharmed compares two states. except names files of the running root that may differ.
func (h *hostileLab) unharmed(t *testing.T, before state, except ...string) {
	t.Helper()
	h.settle(t, before)
	after := h.look(t)
	for _, kind := range slices.Sorted(maps.Keys(before)) {
		was, is := machine.Fingerprint(before[kind]), machine.Fingerprint(after[kind])
		if kind == "running root" {
			was, is = was.Without(except...), is.Without(except...)
		}
		if diff := was.Diff(is); len(diff) > 0 {
			t.Errorf("%s differ:\n%.3000s", kind, strings.Join(diff, "\n"))
		}
	}
	mend(before["device nodes"], after["device nodes"])
	for name, value := range before["sysctls"] {
		if after["sysctls"][name] != value {
			_ = os.WriteFile(name, []byte(value), 0)
		}
	}
}

// settle waits briefly until the processes and control groups are the same as before.
func (h *hostileLab) settle(t *testing.T, before state) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if maps.Equal(h.processes(t), before["processes"]) && maps.Equal(controlGroups(), before["cgroups"]) {
			return
		}
	}
}

// downloads describes the directory of downloads, which may contain files that must not
// be read: special files, and very large ones.
func downloads(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
		if info.Mode().IsRegular() {
			line += fmt.Sprintf(" %d", info.Size())
			if info.Size() < 64<<20 {
				data, err := os.ReadFile(path)
				line += fmt.Sprintf(" %x %v", sha256.Sum256(data), err)
			}
		}
		found[strings.TrimPrefix(path, dir)] = line
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

// sysctls reads /proc/sys, without values that change by themselves.
func sysctls(t *testing.T) map[string]string {
	t.Helper()
	const top = "/proc/sys"
	changing := []string{
		// Counters of open, cached or running objects of the whole machine.
		"/fs/dentry-state", "/fs/file-nr", "/fs/inode-nr", "/fs/inode-state", "/fs/aio-nr", "/fs/quota/", "/kernel/pty/nr", "/kernel/ns_last_pid",
		"/net/netfilter/nf_conntrack_count", "/fs/mqueue/",
		// Random numbers, which differ at each reading.
		"/kernel/random/",
		// The kernel lowers it under load.
		"/kernel/perf_event_max_sample_rate",
		// Of the reading process, or of a temporary namespace.
		"/kernel/seccomp/", "/fs/binfmt_misc",
		// Reading has an effect.
		"/vm/stat_refresh",
	}
	values := make(map[string]string)
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, top)
		if err != nil || entry.IsDir() || slices.ContainsFunc(changing, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return nil
		}
		if strings.HasPrefix(name, "/net/") && strings.Contains(name, "/veth") { // temporary
			return nil
		}
		if data, err := os.ReadFile(path); err == nil {
			values[path] = string(data)
		}
		return nil
	})
	if len(values) < 200 {
		t.Fatalf("there are only %d sysctls", len(values))
	}
	return values
}

// deviceNodes describes the nodes of the host's /dev, which machines share. It omits
// loop devices and terminals, which change with other tests, and the times and owners
// of terminals.
func deviceNodes(t *testing.T) map[string]string {
	t.Helper()
	nodes := make(map[string]string)
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case path == "/dev/shm" || path == "/dev/mqueue":
			// Other programs create files there.
		case strings.HasPrefix(path, "/dev/shm/"), strings.HasPrefix(path, "/dev/mqueue/"), strings.HasPrefix(path, "/dev/loop"), strings.HasPrefix(path, "/dev/pts/"):
			return nil
		}
		if line, err := describeNode(path); err == nil {
			nodes[path] = line
		}
		return nil
	})
	return nodes
}

func describeNode(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%o %d:%d %x", stat.Mode, stat.Uid, stat.Gid, stat.Rdev)
	if info.ModTime().Equal(hostile.MarkTime) {
		line += " of the time that attempts set"
	}
	return line, nil
}

// mend restores the modes and owners of the host's nodes.
func mend(before, after map[string]string) {
	for path, was := range before {
		if is, there := after[path]; !there || is == was {
			continue
		}
		var mode uint32
		var uid, gid int
		if _, err := fmt.Sscanf(was, "%o %d:%d", &mode, &uid, &gid); err == nil {
			_ = os.Lchown(path, uid, gid)
			_ = unix.Chmod(path, mode&0o7777)
			_ = os.Chtimes(path, time.Now(), time.Now())
		}
	}
}

// terminals describes the machine's terminals and their modes.
func (h *hostileLab) terminals(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, name := range strings.Fields(h.Shell(t, "ls -d /dev/pts/*")) {
		found[name] = strings.TrimSpace(h.Shell(t, "stat -c '%a %u:%g' "+name+"; case "+name+" in *ptmx) ;; *) stty -a -F "+name+";; esac"))
	}
	return found
}

// plantKey adds a key to root's keyring, which all roots of the host share.
func plantKey(t *testing.T, l lab) string {
	t.Helper()
	name := fmt.Sprintf("apt-be-hostile-%s-%d", l.Recipe, os.Getpid())
	id, err := unix.AddKey("user", name, []byte("secret of the host"), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Fatalf("cannot plant a key: %v", err)
	}
	t.Cleanup(func() {
		_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	})
	return name
}

// keys describes the planted key, and keys that attempts have added.
func (h *hostileLab) keys(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	data, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.Contains(line, h.key) && !strings.Contains(line, "apt-be-hostile-added") {
			continue
		}
		// Number, flags, users, expiry, permissions, owners, type, description.
		found[fields[8]] = strings.Join(slices.Delete(fields, 2, 3), " ")
	}
	if id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", h.key, 0); err == nil {
		found["found"] = fmt.Sprint(id)
	}
	return found
}

// processes lists the permanent processes of the machine.
func (h *hostileLab) processes(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, p := range h.Processes(t) {
		found[fmt.Sprint(p.PID)] = p.String()
	}
	return found
}

// controlGroups lists the control groups of sandboxes, without the groups of other
// programs.
func controlGroups() map[string]string {
	found := make(map[string]string)
	for _, top := range []string{"/sys/fs/cgroup"} {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && strings.Contains(path, "apt-be") {
				found[path] = ""
			}
			return nil
		})
	}
	return found
}
