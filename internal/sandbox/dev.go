package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// devices are the character devices inside, with their numbers:
// Documentation/admin-guide/devices.txt of the kernel.
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// dev creates a private /dev. Scripts look at the machine's block devices to find the
// device of the root, so the devices are visible; they cannot be opened.
func (a *assembler) dev(*Spec) error {
	if err := a.mount("tmpfs", "/dev", "tmpfs", quiet, "mode=755,size=4m"); err != nil {
		return err
	}
	// The root's own /dev may have been a link, so the following code uses the
	// descriptor.
	f, dir, err := a.at("/dev")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.nodes(); err != nil {
		return err
	}
	for _, dir := range []string{"/dev/pts", "/dev/shm", "/dev/mqueue"} {
		if err := a.mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := a.terminals(); err != nil {
		return err
	}
	if err := a.mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	if err := a.mount("mqueue", "/dev/mqueue", "mqueue", quiet, ""); err != nil {
		a.note("cannot mount /dev/mqueue: %v", err)
	}
	links := [][2]string{
		{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"}, {"pts/ptmx", "ptmx"},
	}
	if target, err := os.Readlink("/dev/log"); err == nil {
		links = append(links, [2]string{target, "log"})
	} else if info, err := os.Lstat("/dev/log"); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := a.write("/dev/log", nil, 0o666); err != nil {
			return err
		}
		if err := a.bind("/dev/log", "/dev/log", true); err != nil {
			return err
		}
	}
	for _, link := range links {
		if err := unix.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			return err
		}
	}
	return blockNodes(dir)
}

// nodes creates the character devices. Scripts could change mode and owner of the
// running system's. Each is mounted from a file system that permits devices, while /dev
// itself does not.
func (a *assembler) nodes() error {
	from := a.place.dir(nodesDir)
	if err := mountAt("tmpfs", from, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=700,size=64k"); err != nil {
		return err
	}
	defer unix.Unmount(from, unix.MNT_DETACH)
	for _, d := range devices {
		node, path := filepath.Join(from, d.name), "/dev/"+d.name
		if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return &fs.PathError{Op: "mknod", Path: path, Err: err}
		}
		if err := unix.Chmod(node, 0o666); err != nil { // mknod(2) applied the umask
			return err
		}
		if err := a.write(path, nil, 0o666); err != nil {
			return err
		}
		if err := a.bind(node, path, false); err != nil {
			return err
		}
	}
	return nil
}

// terminals moves the sandbox's own devpts to its place, so that ttyname(3) finds the
// command's terminal there: a descriptor belongs to a mount.
func (a *assembler) terminals() error {
	return a.mount(a.place.dir(ptsDir), "/dev/pts", "", unix.MS_MOVE, "")
}

// blockNodes copies the names of block devices, and the links to them, into the /dev at
// dir.
func blockNodes(dir string) error {
	return filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		inside := dir + strings.TrimPrefix(path, "/dev")
		switch {
		case entry.IsDir():
			switch path {
			case "/dev":
				return nil
			case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages":
				return fs.SkipDir
			}
			return nil
		case entry.Type() == fs.ModeDevice: // a block device; character devices have ModeCharDevice too
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				return nil
			}
			if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
				return err
			}
			return unix.Mknod(inside, unix.S_IFBLK|0o600, int(st.Rdev))
		case entry.Type() == fs.ModeSymlink && (strings.Count(path, "/") > 2 || path == "/dev/root"):
			target, err := os.Readlink(path)
			if err != nil {
				return nil
			}
			if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
				return err
			}
			return os.Symlink(target, inside)
		}
		return nil
	})
}
