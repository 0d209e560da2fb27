package hostile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Marks that attempts leave at nodes of /dev. A test searches for them outside.
const (
	MarkMode = unix.S_ISVTX // is added to the mode
	MarkGID  = 4242
)

// MarkTime is the modification time that is set.
var MarkTime = time.Unix(978307200, 0)

// devices returns the attempts at device nodes.
func devices() []Attempt {
	return []Attempt{
		{Name: "mknod", Wall: "devices", What: "makes nodes of each disk, of mem, port, kmsg, btrfs-control, loop-control, fuse, kvm, tun, uinput, watchdog, rtc, terminals, and opens them", run: makeNodes},
		{Name: "block-open", Wall: "devices", What: "opens the block nodes of /dev", run: func() Verdict {
			var last error
			nodes := blockNodes()
			for _, node := range nodes {
				if last = opensAtAll(node); last == nil {
					return broken("%s", node)
				}
			}
			return held("%d nodes: %v", len(nodes), last)
		}},
		{Name: "block-chmod", Wall: "devices", What: "chmod and chown of block nodes, then opens them", run: func() Verdict {
			var last error
			for _, node := range blockNodes() {
				_ = unix.Chmod(node, 0o666)
				_ = unix.Chown(node, 0, 0)
				if last = opensAtAll(node); last == nil {
					return broken("%s", node)
				}
			}
			return held("%v", last)
		}},
		{Name: "block-move", Wall: "devices", What: "moves and links block nodes to a file system that opens nodes", run: func() Verdict {
			var last error
			for _, node := range blockNodes() {
				for _, dir := range []string{"/var/tmp", "/", "/dev/shm", "/tmp"} {
					to := filepath.Join(dir, "hostile-node")
					if last = os.Link(node, to); last != nil {
						if last = unix.Rename(node, to); last != nil {
							continue
						}
					}
					if last = opensAtAll(to); last == nil {
						return broken("%s", to)
					}
					os.Remove(to)
				}
			}
			return held("%v", last)
		}},
		{Name: "char-open", Wall: "devices", What: "opens the character nodes of /dev but those that every container has", run: func() Verdict {
			common := map[string]bool{"null": true, "zero": true, "full": true, "random": true, "urandom": true, "tty": true, "ptmx": true}
			seen := 0
			var found string
			_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
				if err != nil || kind(entry)&fs.ModeCharDevice == 0 || common[entry.Name()] || strings.HasPrefix(path, "/dev/pts/") {
					return nil
				}
				seen++
				if opensAtAll(path) == nil {
					found = path
				}
				return nil
			})
			if found != "" {
				return broken("%s", found)
			}
			return held("%d nodes", seen)
		}},
		{Name: "losetup", Wall: "devices", What: "losetup -f of a file", run: func() Verdict {
			_ = os.WriteFile("/tmp/disk", make([]byte, 1<<20), 0o600)
			said, err := command("losetup", "-f", "/tmp/disk")
			if err == nil {
				return broken("%s", said)
			}
			return held("%s", said)
		}},
		{Name: "dev-mode", Wall: "dev", What: "chmod of the nodes of /dev, the terminals among them", run: func() Verdict {
			return eachNode(func(path string, info fs.FileInfo) error {
				return unix.Chmod(path, uint32(info.Mode().Perm())|MarkMode)
			})
		}},
		{Name: "dev-owner", Wall: "dev", What: "chown of those nodes", run: func() Verdict {
			return eachNode(func(path string, _ fs.FileInfo) error { return unix.Chown(path, -1, MarkGID) })
		}},
		{Name: "dev-time", Wall: "dev", What: "sets the times of those nodes", run: func() Verdict {
			return eachNode(func(path string, _ fs.FileInfo) error { return os.Chtimes(path, MarkTime, MarkTime) })
		}},
		{Name: "dev-attributes", Wall: "dev", What: "extended attributes and an ACL for those nodes", run: func() Verdict {
			return eachNode(func(path string, _ fs.FileInfo) error {
				for _, name := range []string{"trusted.hostile", "security.hostile", "user.hostile", "security.capability"} {
					if unix.Setxattr(path, name, []byte("x"), 0) == nil {
						return nil
					}
				}
				return unix.EPERM
			})
		}},
		{Name: "dev-flags", Wall: "dev", What: "chattr +i of /dev and its nodes", run: func() Verdict {
			return eachNode(func(path string, _ fs.FileInfo) error { return setImmutable(path) })
		}},
		{Name: "dev-descriptor", Wall: "dev", What: "fchmod and fchown by descriptors of 0, 1, 2 that are devices", run: func() Verdict {
			var done []string
			for fd := range 3 {
				var st unix.Stat_t
				if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
					continue
				}
				if unix.Fchmod(fd, st.Mode&0o777|MarkMode) == nil || unix.Fchown(fd, -1, MarkGID) == nil {
					done = append(done, fmt.Sprint(fd))
				}
			}
			return did("of %v", done)
		}},
		{Name: "dev-null-replaced", Wall: "dev", What: "puts a file in the place of /dev/zero", run: func() Verdict {
			_ = os.Remove("/dev/zero")
			return did("%v", os.WriteFile("/dev/zero", []byte("no zero\n"), 0o666))
		}},
		{Name: "shm-looks", Wall: "dev", What: "finds a file of the running system's /dev/shm", run: func() Verdict {
			name := plan().Shared
			if name == "" {
				return held("nothing was planted")
			}
			_, err := os.Lstat(name)
			return refused(err, "%s is there", name)
		}},
		{Name: "shm-mode", Wall: "dev", What: "chmod and chown of /dev/shm and /dev/mqueue", run: func() Verdict {
			return did("%v, %v, %v", unix.Chmod("/dev/shm", 0o700), unix.Chown("/dev/shm", -1, MarkGID), unix.Chmod("/dev/mqueue", 0o700))
		}},
	}
}

// kind returns the type of the file system that is mounted at a place, or "".
func kind(entry fs.DirEntry) fs.FileMode {
	info, err := entry.Info()
	if err != nil {
		return fs.ModeIrregular
	}
	return info.Mode().Type()
}

func blockNodes() []string {
	var nodes []string
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && kind(entry) == fs.ModeDevice {
			nodes = append(nodes, path)
		}
		return nil
	})
	return nodes
}

// eachNode calls do for each character device in /dev.
func eachNode(do func(string, fs.FileInfo) error) Verdict {
	var done, not []string
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || kind(entry)&fs.ModeCharDevice == 0 {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		if err := do(path, info); err != nil {
			not = append(not, path+" "+err.Error())
		} else {
			done = append(done, path)
		}
		return nil
	})
	if len(done) == 0 {
		return held("%.200s", strings.Join(not, ", "))
	}
	return did("%d nodes: %.200s", len(done), strings.Join(done, " "))
}

func makeNodes() Verdict {
	nodes := map[string][2]uint32{
		"mem": {1, 1}, "port": {1, 4}, "kmsg": {1, 11}, "btrfs-control": {10, 234}, "loop-control": {10, 237}, "fuse": {10, 229},
		"kvm": {10, 232}, "tun": {10, 200}, "uinput": {10, 223}, "watchdog": {10, 130}, "snapshot": {10, 231}, "nvram": {10, 144},
		"rtc": {254, 0}, "tty0": {4, 0}, "tty1": {4, 1}, "console": {5, 1}, "vcs": {7, 0}, "vcsa": {7, 128}, "mapper": {10, 236}, "hpet": {10, 228}, "vhost-vsock": {10, 241}, "userfaultfd": {10, 126},
	}
	disks, _ := os.ReadFile("/proc/partitions")
	made := 0
	var last error
	try := func(name string, kind, major, minor uint32) (found string) {
		for _, dir := range []string{"/tmp", "/dev", "/var/tmp", "/", "/run", "/dev/shm"} {
			path := filepath.Join(dir, "hostile-"+name)
			if last = unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))); last != nil {
				continue
			}
			made++
			err := opensAtAll(path)
			os.Remove(path)
			if err == nil {
				return path
			}
			last = err
		}
		return ""
	}
	for name, number := range nodes {
		if found := try(name, unix.S_IFCHR, number[0], number[1]); found != "" {
			return broken("made %s and opened it", found)
		}
	}
	for _, line := range strings.Split(string(disks), "\n") {
		var major, minor uint32
		var size int64
		var name string
		if n, _ := fmt.Sscan(line, &major, &minor, &size, &name); n == 4 {
			if found := try(name, unix.S_IFBLK, major, minor); found != "" {
				return broken("made %s and opened it", found)
			}
		}
	}
	return held("%d could be made, none opened: %v", made, last)
}
