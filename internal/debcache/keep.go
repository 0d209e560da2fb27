package debcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/pkgdb"
)

// fate is the result for a file that was written in a sandbox.
type fate int

const (
	added   fate = iota // the file was added to the running system's cache
	there               // the cache already had a file of that name
	unknown             // no list describes a file of that name and size
	wrong               // a list describes the file, but the content differs
)

// keep copies a file to the running system's cache if a list describes it. It hashes
// the copy, which has no name until the hash is right.
func (l *Overlay) keep(upper *os.File, name string, described []pkgdb.Archive) (fate, error) {
	in, size, err := openFile(upper, name)
	if err != nil {
		return unknown, nil // not a regular file; changes has skipped it
	}
	defer in.Close()
	described = slices.DeleteFunc(slices.Clone(described), func(a pkgdb.Archive) bool { return a.Size != size })
	if len(described) == 0 {
		return unknown, nil
	}
	// apt downloads a package again if the file has the wrong size.
	replaces := false
	if st, err := lstat(l.cache, name); err == nil {
		if !l.unchanged(name) || st.Size == size {
			return there, nil
		}
		replaces = true
	}
	out, err := l.newFile()
	if err != nil {
		return unknown, err
	}
	defer out.remove()
	sum, err := copyAndHash(out.File, in, size)
	if err != nil {
		return unknown, fmt.Errorf("cannot copy %s: %w", name, err)
	}
	if !slices.ContainsFunc(described, func(a pkgdb.Archive) bool { return a.SHA256 == sum }) {
		return wrong, nil
	}
	if info, err := in.Stat(); err == nil {
		out.stamp(info.ModTime())
	}
	if replaces {
		if !l.unchanged(name) {
			return there, nil
		}
		if err := unix.Unlinkat(int(l.cache.Fd()), name, 0); err != nil {
			return there, &fs.PathError{Op: "unlink", Path: name, Err: err}
		}
	}
	err = out.name(name)
	if errors.Is(err, fs.ErrExist) {
		return there, nil
	}
	return added, err
}

// openFile opens a file that a script may have left. It fails unless the file is
// regular and has one name.
func openFile(dir *os.File, name string) (f *os.File, size int64, err error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f = os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (!isFile(st) || st.Nlink != 1) {
		err = fmt.Errorf("%s is not a regular file, or has several names", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size, nil
}

// copyAndHash copies size bytes from in to out, by reflink if both are on one btrfs,
// and returns the hash of out's content.
func copyAndHash(out, in *os.File, size int64) (string, error) {
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		if _, err := io.Copy(out, io.LimitReader(in, size)); err != nil {
			return "", err
		}
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, io.LimitReader(out, size+1), make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("size is %d bytes, not %d", n, size)
	}
	return hex.EncodeToString(hash.Sum(nil)), err
}

// newFile is a file in the running system's cache without a name. On file systems
// without O_TMPFILE it has a name that apt-get clean removes.
type newFile struct {
	*os.File
	cache *os.File
	temp  string // the temporary name, or ""
}

// temporary is the temporary name. Any holder of apt's lock may remove the file.
const temporary = ".apt-be.part"

func (l *Overlay) newFile() (*newFile, error) {
	cache, temp := int(l.cache.Fd()), ""
	fd, err := unix.Openat(cache, ".", unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o644)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		temp = temporary
		_ = unix.Unlinkat(cache, temp, 0)
		fd, err = unix.Openat(cache, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: "a file in " + l.cache.Name(), Err: err}
	}
	f := &newFile{File: os.NewFile(uintptr(fd), temp), cache: l.cache, temp: temp}
	// Set the mode independently of the umask; some file systems have no modes.
	if err := f.Chmod(0o644); err != nil && !errors.Is(err, unix.EPERM) {
		f.remove()
		return nil, err
	}
	return f, nil
}

// stamp sets the modification time that apt got from the server.
func (f *newFile) stamp(modified time.Time) {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(modified.UnixNano())}
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), ts, 0)
}

// name gives the file its final name. It returns fs.ErrExist if the name is taken.
func (f *newFile) name(name string) error {
	var err error
	cache := int(f.cache.Fd())
	if f.temp == "" {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), cache, name, unix.AT_SYMLINK_FOLLOW)
	} else if err = unix.Linkat(cache, f.temp, cache, name, 0); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		err = unix.Renameat2(cache, f.temp, cache, name, unix.RENAME_NOREPLACE) // FAT has no hard links
	}
	if err != nil {
		return &fs.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}

// remove closes the file, and removes it if it has only a temporary name.
func (f *newFile) remove() {
	f.Close()
	if f.temp != "" {
		_ = unix.Unlinkat(int(f.cache.Fd()), f.temp, 0)
	}
}
