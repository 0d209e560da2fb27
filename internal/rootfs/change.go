package rootfs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// unfinished begins the names of files that are being written.
const unfinished = ".apt-be-merge-"

// Changer changes a root file system, taking nodes from another one. Each change
// of a file is whole or not there. Files that have no names in common may be carried
// at once.
type Changer struct {
	To, From *Root
	Base     *Root      // what both were once, for Append
	links    sync.Map   // where the files with several names are by now, by their inodes in From
	locked   sync.Map   // the flags that Lock is to give, by paths
	times    sync.Map   // the times that Finish is to give, by paths
	mutex    sync.Mutex // for what has names in linksDir
	// Behind is told of what is in a directory that CarryWhole carries, and can't be
	// carried. Nil has that be an error.
	OnSkipped func(name string, err error)
}

// Present says that a file of From, known by its inode there, is at a path in To
// already, so that what is carried of it is another name of that.
func (c *Changer) Present(inode uint64, name string) { c.links.Store(inode, name) }

// Copy makes what is at a path what it is in From, but for its attributes. The
// directories above it are made as they are there. On btrfs a file's data is
// shared.
func (c *Changer) Copy(name string, node merge.Node, a merge.Attributes) error {
	dir, err := c.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if node.Kind == merge.Directory {
		return c.makeDirectory(dir, name, a)
	}
	if err := c.makeWay(dir, name); err != nil {
		return err
	}
	return c.put(dir, name, func(temporary string) error {
		return c.make(dir, temporary, origin{name, name}, node, a)
	})
}

// make makes something but a directory under a temporary name.
func (c *Changer) make(dir *os.File, temporary string, o origin, node merge.Node, a merge.Attributes) error {
	switch node.Kind {
	case merge.Regular:
		return c.copyFile(dir, temporary, o, node, a)
	case merge.Symlink:
		if err := unix.Symlinkat(node.Content, int(dir.Fd()), temporary); err != nil {
			return err
		}
	case merge.Special:
		if err := makeSpecial(dir, temporary, node.Content); err != nil {
			return err
		}
	default:
		return fmt.Errorf("there is %s", node.Kind)
	}
	if err := c.setMetadata(dir, temporary, a); err != nil {
		return err
	}
	modified := unix.NsecToTimespec(node.Modified)
	return unix.UtimesNanoAt(int(dir.Fd()), temporary, []unix.Timespec{modified, modified}, unix.AT_SYMLINK_NOFOLLOW)
}

// Write gives a file a content and attributes.
func (c *Changer) Write(name string, content []byte, a merge.Attributes) error {
	return c.makeFile(name, a, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// makeFile makes what is at a path a file, which fill fills.
func (c *Changer) makeFile(name string, a merge.Attributes, fill func(*os.File) error) error {
	dir, err := c.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return c.put(dir, name, func(temporary string) error {
		f, err := create(dir, temporary)
		if err != nil {
			return err
		}
		if c.To.flags {
			inPlace(f, a.Flags&nocow != 0)
		}
		if err := errors.Join(fill(f), f.Close()); err != nil {
			return err
		}
		c.keepLocked(name, a)
		return c.setMetadata(dir, temporary, a)
	})
}

// SetAttributes changes nothing else.
func (c *Changer) SetAttributes(name string, a merge.Attributes) error {
	c.keepLocked(name, a)
	if name == "." {
		return c.setMetadata(c.To.dir, ".", a)
	}
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	return c.setMetadata(dir, path.Base(name), a)
}

// Remove removes what is at a path: nothing is no error, and neither is a
// directory in which something is left, which stays.
func (c *Changer) Remove(name string) error {
	return c.clear("unlink", name, func(dir int, name string) error {
		err := unix.Unlinkat(dir, name, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		}
		if errors.Is(err, unix.ENOTEMPTY) {
			err = nil
		}
		return err
	})
}

// clear takes away what is at a path, if anything is.
func (c *Changer) clear(op, name string, away func(dir int, name string) error) error {
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	c.opened(path.Dir(name), dir)
	base := path.Base(name)
	unlock(dir, base)
	c.locked.Delete(name)
	if err := away(int(dir.Fd()), base); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: op, Path: path.Join(dir.Name(), base), Err: err}
	}
	return nil
}

// parent opens the directory that a path is in.
func (c *Changer) parent(name string) (*os.File, error) {
	up := path.Dir(name)
	dir, err := c.To.open(up, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		c.opened(up, dir)
	}
	if !gone(err) || up == "." {
		return dir, err
	}
	there, err := c.To.Node(up)
	if err != nil {
		return nil, err
	}
	if there.Kind != merge.Directory { // else another file needed it, too
		node, err := c.From.Node(up)
		if err != nil {
			return nil, err
		}
		if there.Kind != merge.Missing || node.Kind != merge.Directory {
			return nil, fmt.Errorf("cannot make /%s: /%s is %s, and %s where it comes from", name, up, there.Kind, node.Kind)
		}
		if err := c.Copy(up, node, node.Attributes); err != nil {
			return nil, err
		}
		c.times.LoadOrStore(up, unix.NsecToTimespec(node.Modified))
	}
	return c.To.open(up, unix.O_RDONLY|unix.O_DIRECTORY)
}

// makeDirectory makes a directory in dir, if there is none.
func (c *Changer) makeDirectory(dir *os.File, name string, a merge.Attributes) error {
	base := path.Base(name)
	err := unix.Mkdirat(int(dir.Fd()), base, 0o700)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err = unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			unlock(dir, base)
			if err = unix.Unlinkat(int(dir.Fd()), base, 0); err == nil {
				err = unix.Mkdirat(int(dir.Fd()), base, 0o700)
			}
		}
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: path.Join(dir.Name(), base), Err: err}
	}
	c.keepLocked(name, a)
	return c.setMetadata(dir, base, a)
}

// makeWay removes a directory from where something else is to be. If something is
// in it, it is moved aside.
func (c *Changer) makeWay(dir *os.File, name string) error {
	base := path.Base(name)
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	unlock(dir, base)
	err = unix.Unlinkat(int(dir.Fd()), base, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) {
		return c.SetAside(name)
	}
	if err != nil {
		return &fs.PathError{Op: "rmdir", Path: path.Join(dir.Name(), base), Err: err}
	}
	return nil
}

// put has something made under another name, and moves it to its place.
func (c *Changer) put(dir *os.File, name string, make func(temporary string) error) error {
	fd, base := int(dir.Fd()), path.Base(name)
	var random [8]byte
	_, err := rand.Read(random[:])
	temporary := unfinished + hex.EncodeToString(random[:])
	if err == nil {
		err = make(temporary)
	}
	if err == nil {
		unlock(dir, base)
		err = unix.Renameat(fd, temporary, fd, base)
	}
	// Two names of one file are both left by a rename.
	_ = unix.Unlinkat(fd, temporary, 0)
	if err != nil {
		return &fs.PathError{Op: "put", Path: path.Join(dir.Name(), base), Err: err}
	}
	return nil
}

func create(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
}
