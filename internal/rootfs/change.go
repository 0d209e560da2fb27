package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// unfinished begins the names of files that are being written.
const unfinished = ".apt-be-merge-"

// Aside is what follows the name of what a merge has put beside something else.
const Aside = ".apt-be-dist"

// Changer changes a root file system, taking nodes from another one. Each change
// of a file is whole or not there.
type Changer struct {
	To, From *Root
	Base     *Root             // what both were once, for Append
	links    map[uint64]string // where the files with several names are by now, by their inodes in From
}

// Carry makes what is at a path what it is in From, but for its attributes. The
// directories above it are made as they are there. On btrfs a file's data is
// shared.
func (c *Changer) Carry(name string, node merge.Node, a merge.Attributes) error {
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
		switch node.Kind {
		case merge.Regular:
			return c.copyFile(dir, temporary, name, node, a)
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
		return c.To.dress(dir, temporary, a)
	})
}

// Write gives a file a content and attributes.
func (c *Changer) Write(name string, content []byte, a merge.Attributes) error {
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
		_, err = f.Write(content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		return c.To.dress(dir, temporary, a)
	})
}

// SetAttributes changes nothing else.
func (c *Changer) SetAttributes(name string, a merge.Attributes) error {
	if name == "." {
		return c.To.dress(c.To.dir, ".", a)
	}
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	return c.To.dress(dir, path.Base(name), a)
}

// Remove removes what is at a path: nothing is no error, and neither is a
// directory in which something is left, which stays.
func (c *Changer) Remove(name string) error {
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Unlinkat(int(dir.Fd()), path.Base(name), 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(dir.Fd()), path.Base(name), unix.AT_REMOVEDIR)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) {
		return &fs.PathError{Op: "unlink", Path: path.Join(dir.Name(), path.Base(name)), Err: err}
	}
	return nil
}

// SetAside moves what is at a path beside it.
func (c *Changer) SetAside(name string) error {
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	from := path.Base(name)
	if err := unix.Renameat(int(dir.Fd()), from, int(dir.Fd()), from+Aside); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rename", Path: path.Join(dir.Name(), from), Err: err}
	}
	return nil
}

// parent opens the directory that a path is in.
func (c *Changer) parent(name string) (*os.File, error) {
	up := path.Dir(name)
	dir, err := c.To.open(up, unix.O_RDONLY|unix.O_DIRECTORY)
	if !gone(err) || up == "." {
		return dir, err
	}
	there, err := c.To.Node(up)
	if err != nil {
		return nil, err
	}
	node, err := c.From.Node(up)
	if err != nil {
		return nil, err
	}
	if there.Kind != merge.Missing || node.Kind != merge.Directory {
		return nil, fmt.Errorf("cannot make /%s: /%s is %s, and %s where it comes from", name, up, there.Kind, node.Kind)
	}
	if err := c.Carry(up, node, node.Attributes); err != nil {
		return nil, err
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
			if err = unix.Unlinkat(int(dir.Fd()), base, 0); err == nil {
				err = unix.Mkdirat(int(dir.Fd()), base, 0o700)
			}
		}
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: path.Join(dir.Name(), base), Err: err}
	}
	return c.To.dress(dir, base, a)
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
	base := path.Base(name)
	temporary := unfinished + base
	if len(temporary) > unix.NAME_MAX {
		temporary = temporary[:unix.NAME_MAX]
	}
	fd := int(dir.Fd())
	_ = unix.Unlinkat(fd, temporary, 0) // of a run that was cut off
	err := make(temporary)
	if err == nil {
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
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
}

// dress gives something in a directory its attributes. A change of owner takes
// file capabilities away, and a mode is part of an access control list, so the
// order counts.
func (r *Root) dress(dir *os.File, name string, a merge.Attributes) error {
	uid, err := r.users.number(a.Owner)
	if err != nil {
		return err
	}
	gid, err := r.groups.number(a.Group)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path.Join(dir.Name(), name), Err: err}
	}
	f := os.NewFile(uintptr(fd), path.Join(dir.Name(), name))
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Uid != uid || st.Gid != gid {
		if err := unix.Fchownat(fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH); err != nil {
			return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
		}
	}
	link := fmt.Sprintf("/proc/self/fd/%d", fd)
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(link, a.Mode); err != nil {
			return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
		}
	}
	return dressXattrs(f, link, a.Xattrs)
}

func dressXattrs(f *os.File, link string, wanted map[string]string) error {
	there, err := xattrs(f)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if _, ok := wanted[name]; ok {
			continue
		}
		if err := unix.Removexattr(link, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return &fs.PathError{Op: "removexattr", Path: f.Name(), Err: fmt.Errorf("%s: %w", name, err)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if value, ok := there[name]; ok && value == wanted[name] {
			continue
		}
		if err := unix.Setxattr(link, name, []byte(wanted[name]), 0); err != nil {
			return &fs.PathError{Op: "setxattr", Path: f.Name(), Err: fmt.Errorf("%s: %w", name, err)}
		}
	}
	return nil
}

// Renumber gives what is at a path other numbers for its owner and its group,
// where there are any for them. What is gone is no error.
func (r *Root) Renumber(name string, users, groups map[uint32]uint32) error {
	f, err := r.openLeaf(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	uid, ok := users[st.Uid]
	if !ok {
		uid = st.Uid
	}
	gid, ok := groups[st.Gid]
	if !ok {
		gid = st.Gid
	}
	if uid == st.Uid && gid == st.Gid {
		return nil
	}
	before, err := xattrs(f)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(int(f.Fd()), "", int(uid), int(gid), unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	// A new owner takes setuid, setgid and file capabilities away.
	link := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(link, st.Mode&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
		}
	}
	return dressXattrs(f, link, before)
}
