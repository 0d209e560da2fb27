package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// devices are the character devices that are the same inside. Bound in from
// outside they work, although the file system that they are bound on opens
// none of its own.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// dev makes a private /dev. The block devices of the machine are there to be
// looked at, because scripts find out by them what the root is on; they can't be
// opened.
func (a *assembler) dev(*Spec) error {
	if err := a.mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=4m"); err != nil {
		return err
	}
	// The root's own /dev may have been a link: from here on by descriptor.
	f, dir, err := a.at("/dev")
	if err != nil {
		return err
	}
	defer f.Close()
	for _, name := range devices {
		path := "/dev/" + name
		if err := a.write(path, nil, 0o666); err != nil {
			return err
		}
		if err := a.bind(path, path, false); err != nil {
			return err
		}
	}
	// The terminals are the running system's: the command's own is one of
	// them, and ttyname(3) has to find it.
	for _, dir := range []string{"/dev/pts", "/dev/shm", "/dev/mqueue"} {
		if err := a.mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := a.bind("/dev/pts", "/dev/pts", false); err != nil {
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
		{"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"},
		// The kernel looks for the terminals beside the ptmx that is opened, so
		// the one of the running system would find none here.
		{"pts/ptmx", "ptmx"},
	}
	if target, err := os.Readlink("/dev/log"); err == nil {
		links = append(links, [2]string{target, "log"})
	} else if info, err := os.Lstat("/dev/log"); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := a.write("/dev/log", nil, 0o666); err != nil {
			return err
		}
		if err := a.bind("/dev/log", "/dev/log", false); err != nil {
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

// blockNodes copies the names of block devices, and the links to them, into
// the /dev that is at dir.
func blockNodes(dir string) error {
	return filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
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
