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

// unfinished is the prefix of temporary files.
const unfinished = ".apt-be-merge-"

// Changer changes a root file system and copies nodes to it from another one. Each
// change of a file is atomic. Files without common names may be copied in parallel.
type Changer struct {
	To, From *Root
	Base     *Root      // the common ancestor, for Append
	links    sync.Map   // the places in To of files with several names, by inode in From
	locked   sync.Map   // the flags that Lock sets, by path
	times    sync.Map   // the times that Finish sets, by path
	mutex    sync.Mutex // protects the names in linksDir
	// OnSkipped is called for files below a directory that CopyTree cannot copy. If it
	// is nil, such a file is an error.
	OnSkipped func(name string, err error)
}

// Present records that a file of From, given by its inode, already exists at a path in
// To, so that further names of the file become links to it.
func (c *Changer) Present(inode uint64, name string) { c.links.Store(inode, name) }

// Copy replaces a path by From's, with the attributes a. It creates missing directories
// above as in From. On btrfs it copies data by reflink.
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

// make creates a node that is not a directory, under a temporary name.
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
		return fmt.Errorf("the place is occupied by %s", node.Kind)
	}
	if err := c.setMetadata(dir, temporary, a); err != nil {
		return err
	}
	modified := unix.NsecToTimespec(node.Modified)
	return unix.UtimesNanoAt(int(dir.Fd()), temporary, []unix.Timespec{modified, modified}, unix.AT_SYMLINK_NOFOLLOW)
}

// Write replaces a path by a file with a content and attributes.
func (c *Changer) Write(name string, content []byte, a merge.Attributes) error {
	return c.makeFile(name, a, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// makeFile replaces a path by a file that fill writes.
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

// SetAttributes sets the attributes of a path, and changes nothing else.
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

// Remove removes a path. It returns nil if the path does not exist, or is a directory
// that is not empty, which stays.
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

// clear calls away to remove a path, if the path exists.
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

// parent opens the directory that contains a path.
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
	if there.Kind != merge.Directory { // otherwise it was created for another file meanwhile
		node, err := c.From.Node(up)
		if err != nil {
			return nil, err
		}
		if there.Kind != merge.Missing || node.Kind != merge.Directory {
			return nil, fmt.Errorf("cannot create /%s: /%s is %s, but %s in the other root", name, up, there.Kind, node.Kind)
		}
		if err := c.Copy(up, node, node.Attributes); err != nil {
			return nil, err
		}
		c.times.LoadOrStore(up, unix.NsecToTimespec(node.Modified))
	}
	return c.To.open(up, unix.O_RDONLY|unix.O_DIRECTORY)
}

// makeDirectory creates a directory in dir, if there is none.
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

// makeWay removes a directory from a place that is needed. If the directory is not
// empty, it is set aside.
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

// put calls make for a temporary name and renames the result.
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
	// rename(2) leaves both names if they are links to one file.
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
