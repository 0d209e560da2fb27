package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// cursor is a position in a tree of directories. It can go down and up, and holds one
// descriptor and no path, however deep it is.
type cursor struct {
	dir    *os.File
	device uint64
	above  []uint64 // the inodes of the directories above, outermost first
}

// errMoved reports that another process has moved the current directory.
var errMoved = errors.New("a directory was moved meanwhile")

const openDirectory = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// newCursor returns a cursor at a directory in an open one.
func newCursor(dir *os.File, name string) (*cursor, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, openDirectory, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	c := &cursor{dir: os.NewFile(uintptr(fd), name)}
	st, err := c.stat()
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.device = st.Dev
	return c, nil
}

func (c *cursor) close() error { return c.dir.Close() }

func (c *cursor) fd() int { return int(c.dir.Fd()) }

func (c *cursor) stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(c.fd(), &st)
	return st, os.NewSyscallError("fstat", err)
}

// down enters a directory of the same file system.
func (c *cursor) down(name string) error {
	st, err := c.stat()
	if err != nil {
		return err
	}
	if err := c.move(name); err != nil {
		return err
	}
	c.above = append(c.above, st.Ino)
	return nil
}

// up returns to the directory above.
func (c *cursor) up() error {
	if err := c.move(".."); err != nil {
		return err
	}
	last := len(c.above) - 1
	st, err := c.stat()
	if err == nil && (st.Ino != c.above[last] || st.Dev != c.device) {
		err = errMoved
	}
	c.above = c.above[:last]
	return err
}

func (c *cursor) move(name string) error {
	fd, err := unix.Openat(c.fd(), name, openDirectory, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	c.dir.Close()
	c.dir = os.NewFile(uintptr(fd), name)
	return nil
}

// names returns the names in the directory, sorted.
func (c *cursor) names() ([]string, error) {
	names, err := c.dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// look returns an O_PATH descriptor for a name in the directory.
func (c *cursor) look(name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Openat(c.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		if err = unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, st, &fs.PathError{Op: "look at", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), st, nil
}

// at returns a cursor at a directory of the root, and the mark of the tree that
// contains it (Attach).
func (r *Root) at(name string) (c *cursor, mark uint64, err error) {
	if a, _ := r.holder(PathBefore(r.moves, name)); a != nil {
		mark = a.mark
	}
	dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	c, err = newCursor(dir, ".")
	return c, mark, err
}

// remove removes a name in a directory, with everything below it. It fails if something
// is left, such as a subvolume.
func remove(dir *os.File, name string) error {
	err := unlinkLocked(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return &fs.PathError{Op: "unlink", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	c, err := newCursor(dir, name)
	if err != nil {
		return err
	}
	if c.device == st.Dev {
		err = c.clear()
	}
	if err = errors.Join(err, c.close()); err != nil {
		return err
	}
	return removeEmpty(dir, name)
}

// clear removes the content of the directory, at any depth.
func (c *cursor) clear() error {
	type level struct {
		names []string
		name  string // the name of the directory
	}
	begin := func(name string) (level, error) {
		names, err := c.names()
		return level{names, name}, err
	}
	top, err := begin("")
	if err != nil {
		return err
	}
	for levels := []level{top}; ; {
		l := &levels[len(levels)-1]
		if len(l.names) == 0 {
			done := l.name
			if levels = levels[:len(levels)-1]; len(levels) == 0 {
				return nil
			}
			if err := c.up(); err != nil {
				return err
			}
			if err := removeEmpty(c.dir, done); err != nil {
				return err
			}
			continue
		}
		name := l.names[0]
		l.names = l.names[1:]
		err := unlinkLocked(c.dir, name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			continue
		}
		if !errors.Is(err, unix.EISDIR) {
			return &fs.PathError{Op: "unlink", Path: name, Err: err}
		}
		var st unix.Stat_t
		if err := unix.Fstatat(c.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		if st.Dev != c.device { // such as an empty subvolume
			if err := removeEmpty(c.dir, name); err != nil {
				return err
			}
			continue
		}
		if err := c.down(name); err != nil {
			return err
		}
		next, err := begin(name)
		if err != nil {
			return err
		}
		levels = append(levels, next)
	}
}

func removeEmpty(dir *os.File, name string) error {
	err := unlinkLocked(dir, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) {
		err = errors.New("it contains something else")
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// unlinkLocked is unlinkat(2) that also removes immutable and append-only files
// (chattr(1)'s i and a), and files in such directories.
func unlinkLocked(dir *os.File, name string, flags int) error {
	err := unix.Unlinkat(int(dir.Fd()), name, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	unlock(dir, ".")
	unlock(dir, name)
	return unix.Unlinkat(int(dir.Fd()), name, flags)
}
