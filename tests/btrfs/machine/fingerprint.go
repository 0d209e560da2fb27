package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Fingerprint maps the name of each file of a root, from "/", to its type, mode,
// owner, modification time, size, content or link target, and extended attributes.
type Fingerprint map[string]string

// caches are the files that apt-get writes even if it changes no package, and the
// directory that contains the first two.
var caches = []string{"/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin", "/var/cache/apt"}

// downloads is the cache of package files.
const downloads = "/var/cache/apt/archives"

// Fingerprint describes the machine's root as it is on disk. It excludes apt's
// caches, and the mounts at /run, /tmp, /dev, /proc and /sys.
func (m *Machine) Fingerprint(t testing.TB) Fingerprint {
	t.Helper()
	return m.Image.Fingerprint(t, m.Subvolume)
}

// Fingerprint describes the root in a subvolume: see Machine.Fingerprint.
func (i *Image) Fingerprint(t testing.TB, subvolume string) Fingerprint {
	t.Helper()
	prints, err := fingerprint(i.Path(subvolume))
	if err != nil {
		t.Fatalf("cannot fingerprint %s: %v", subvolume, err)
	}
	return prints
}

// FingerprintOf describes the files below a directory of this system.
func FingerprintOf(t testing.TB, dir string) Fingerprint {
	t.Helper()
	prints, err := fingerprint(dir)
	if err != nil {
		t.Fatalf("cannot fingerprint %s: %v", dir, err)
	}
	return prints
}

func fingerprint(root string) (Fingerprint, error) {
	prints := make(Fingerprint)
	root = filepath.Clean(root)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		switch {
		case name == downloads:
			return filepath.SkipDir
		case slices.Contains(caches, name):
			return nil
		}
		prints[name], err = describe(path, entry)
		return err
	})
	return prints, err
}

// describe gives one file's line in a fingerprint.
func describe(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d %d.%09d", info.Mode(), stat.Uid, stat.Gid, stat.Mtim.Sec, stat.Mtim.Nsec)
	switch {
	case info.Mode().IsRegular():
		sum, err := hash(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d %s", info.Size(), sum)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += " -> " + target
	case info.Mode()&fs.ModeDevice != 0:
		line += fmt.Sprintf(" %d,%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	}
	attributes, err := xattrs(path)
	return line + attributes, err
}

func hash(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func xattrs(path string) (string, error) {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return "", err
	}
	var list []string
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		list = append(list, fmt.Sprintf(" %s=%x", name, value[:n]))
	}
	sort.Strings(list)
	return strings.Join(list, ""), nil
}

// Diff lists the files that differ, by name: "- NAME DESCRIPTION" is the state
// before, "+ NAME DESCRIPTION" the state after.
func (f Fingerprint) Diff(later Fingerprint) []string {
	var lines []string
	for name, was := range f {
		if is, there := later[name]; is != was {
			lines = append(lines, "- "+name+" "+was)
			if there {
				lines = append(lines, "+ "+name+" "+is)
			}
		}
	}
	for name, is := range later {
		if _, there := f[name]; !there {
			lines = append(lines, "+ "+name+" "+is)
		}
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i][2:] < lines[j][2:] })
	return lines
}

// Without returns the fingerprint without the files of these names.
func (f Fingerprint) Without(names ...string) Fingerprint {
	rest := maps.Clone(f)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// WithoutTree returns the fingerprint without a directory and the files below it.
func (f Fingerprint) WithoutTree(name string) Fingerprint {
	rest := maps.Clone(f)
	maps.DeleteFunc(rest, func(file, _ string) bool { return file == name || strings.HasPrefix(file, name+"/") })
	return rest
}

// Timeless returns the fingerprint without modification times.
func (f Fingerprint) Timeless() Fingerprint {
	rest := make(Fingerprint, len(f))
	for name, is := range f {
		fields := strings.Fields(is)
		rest[name] = strings.Join(slices.Delete(fields, 2, 3), " ")
	}
	return rest
}
