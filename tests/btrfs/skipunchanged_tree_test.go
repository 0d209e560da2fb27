package btrfs_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// From linux/fiemap.h.
const (
	fiemapIoctl       = 0xc020660b // FS_IOC_FIEMAP
	fiemapSync        = 0x1        // FIEMAP_FLAG_SYNC
	fiemapUnwritten   = 0x800      // FIEMAP_EXTENT_UNWRITTEN
	fiemapInline      = 0x200      // FIEMAP_EXTENT_DATA_INLINE
	fiemapHeader      = 32         // bytes of struct fiemap
	fiemapExtent      = 56         // bytes of struct fiemap_extent
	fiemapMostExtents = 1000
)

// extent is the location of a part of a file, in bytes.
type extent struct{ logical, physical, length uint64 }

// sharedData reports whether all data of two files is at the same locations on the
// disk. The data must not be inline in the metadata. Two files that consist of the same
// holes share their data.
func sharedData(t *testing.T, was, is string) bool {
	t.Helper()
	before, beforeInline := extents(t, was)
	after, afterInline := extents(t, is)
	return !beforeInline && !afterInline && slices.Equal(before, after)
}

// extents returns the locations of a file's data, and whether some data is inline.
func extents(t *testing.T, name string) (list []extent, inline bool) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, fs.ErrNotExist) {
		return nil, true // no data at all
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buffer := make([]byte, fiemapHeader+fiemapMostExtents*fiemapExtent)
	binary.NativeEndian.PutUint64(buffer[8:], ^uint64(0)) // fm_length
	binary.NativeEndian.PutUint32(buffer[16:], fiemapSync)
	binary.NativeEndian.PutUint32(buffer[24:], fiemapMostExtents)
	if err := ioctlBuffer(file, fiemapIoctl, buffer); err != nil {
		t.Fatalf("cannot map %s: %v", name, err)
	}
	mapped := int(binary.NativeEndian.Uint32(buffer[20:]))
	if mapped == fiemapMostExtents {
		t.Fatalf("%s has too many extents", name)
	}
	for i := range mapped {
		data := buffer[fiemapHeader+i*fiemapExtent:]
		flags := binary.NativeEndian.Uint32(data[40:])
		if flags&fiemapUnwritten != 0 {
			continue
		}
		inline = inline || flags&fiemapInline != 0
		list = append(list, extent{
			logical: binary.NativeEndian.Uint64(data), physical: binary.NativeEndian.Uint64(data[8:]),
			length: binary.NativeEndian.Uint64(data[16:]),
		})
	}
	return list, inline
}

// skipWatched are the directories that the cases' packages use.
var skipWatched = []string{"usr/lib/skip", "etc/skip", "srv/skip", "var/lib/dpkg/info"}

// describeSkipTree describes all files of the packages, and dpkg's records of them.
func describeSkipTree(t *testing.T, root string) skipTree {
	t.Helper()
	root = filepath.Clean(root)
	tree := make(skipTree)
	first := make(map[uint64]string) // name by inode
	for _, top := range skipWatched {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path, root)
			if database := strings.HasPrefix(name, "/var/"); database && !strings.HasPrefix(entry.Name(), "skip") {
				return nil
			}
			tree[name], err = describeSkipFile(path, name, first)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride"} {
		content, err := os.ReadFile(root + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		tree[name] = string(content)
	}
	return tree
}

func describeSkipFile(path, name string, first map[uint64]string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
	if !info.IsDir() {
		if _, there := first[stat.Ino]; !there {
			first[stat.Ino] = name
		}
		line += fmt.Sprintf(" links=%d inode-of=%s size=%d", stat.Nlink, first[stat.Ino], info.Size())
		// Files of dpkg's own database have the time of writing.
		if !strings.HasPrefix(name, "/var/") {
			line += fmt.Sprintf(" mtime=%d.%09d", stat.Mtim.Sec, stat.Mtim.Nsec)
		}
	}
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		flags, err := inodeFlags(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" flags=%#x %x", flags, sha256.Sum256(content))
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += " -> " + target
	}
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	return line + fmt.Sprintf(" xattrs=%q", names[:n]), nil
}

// inodeFlags returns the file's chattr(1) attributes.
func inodeFlags(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
}

// writeDeb makes a package and returns the name of its file in dir.
func writeDeb(t *testing.T, deb packages.Exact, dir string) string {
	t.Helper()
	name, err := deb.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// projectOutput runs a script of the repository and returns the last line of its output.
func projectOutput(t *testing.T, project, script string, args ...string) string {
	t.Helper()
	command := exec.Command(filepath.Join(project, script), args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
