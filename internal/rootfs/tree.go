package rootfs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// sameWhole reports whether two directories are equal with everything below them. It
// returns false if they cannot be compared.
func sameWhole(name string, a, b *Root) (bool, error) {
	first, _, err := a.at(name)
	if err != nil {
		return false, err
	}
	defer func() { first.close() }()
	second, _, err := b.at(name)
	if err != nil {
		return false, err
	}
	defer func() { second.close() }()
	same, err := twins{a, b, first, second}.same()
	if err != nil && !IsDeviceError(err) {
		return false, nil
	}
	return same, err
}

// twins are two directories of two roots.
type twins struct {
	a, b          *Root
	first, second *cursor
}

func (p twins) same() (bool, error) {
	names, same, err := p.names()
	if err != nil || !same {
		return false, err
	}
	for levels := [][]string{names}; ; {
		last := len(levels) - 1
		if len(levels[last]) == 0 {
			if levels = levels[:last]; last == 0 {
				return true, nil
			}
			if err := errors.Join(p.first.up(), p.second.up()); err != nil {
				return false, err
			}
			continue
		}
		name := levels[last][0]
		levels[last] = levels[last][1:]
		same, within, err := p.sameEntry(name)
		if err != nil || !same {
			return false, err
		}
		if !within {
			continue
		}
		if err := errors.Join(p.first.down(name), p.second.down(name)); err != nil {
			return false, err
		}
		if names, same, err = p.names(); err != nil || !same {
			return false, err
		}
		levels = append(levels, names)
	}
}

// names returns the names in both directories, if these are equal.
func (p twins) names() (names []string, same bool, err error) {
	names, err = p.first.names()
	if err != nil {
		return nil, false, err
	}
	others, err := p.second.names()
	return names, slices.Equal(names, others), err
}

// sameEntry compares a name in both directories, and reports whether both are
// directories to enter.
func (p twins) sameEntry(name string) (same, within bool, err error) {
	one, stOne, err := p.first.look(name)
	if err != nil {
		return false, false, err
	}
	defer one.Close()
	other, stOther, err := p.second.look(name)
	if err != nil {
		return false, false, err
	}
	defer other.Close()
	nodeOne, err := p.a.describe(int(one.Fd()))
	if err != nil {
		return false, false, err
	}
	nodeOther, err := p.b.describe(int(other.Fd()))
	if err != nil || !nodeOne.Same(nodeOther) || nodeOne.Size != nodeOther.Size {
		return false, false, err
	}
	switch nodeOne.Kind {
	case merge.Directory:
		return true, stOne.Dev == p.first.device && stOther.Dev == p.second.device, nil
	case merge.Regular:
		same, err = sameOpened(one, other, nodeOne.Size)
		return same, false, err
	}
	return true, false, nil
}

// sameOpened compares two files, given by O_PATH descriptors.
func sameOpened(one, other *os.File, size int64) (bool, error) {
	var files [2]*os.File
	for i, f := range []*os.File{one, other} {
		fd, err := reopen(int(f.Fd()))
		if err != nil {
			return false, &fs.PathError{Op: "open", Path: f.Name(), Err: err}
		}
		files[i] = os.NewFile(uintptr(fd), f.Name())
		defer files[i].Close()
	}
	return sameFiles(files[0], files[1], size)
}

// CopyTree replaces a directory by From's, with everything below it. It calls OnSkipped
// for files that cannot be copied, except because of device errors.
func (c *Changer) CopyTree(name string, node merge.Node, a merge.Attributes) error {
	dir, err := c.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	from, mark, err := c.From.at(name)
	if err != nil {
		return err
	}
	w := wholeCopy{Changer: c, name: name, from: from, mark: mark}
	defer func() { w.from.close() }()
	temporary, err := makeTemporary(dir)
	if err != nil {
		return err
	}
	if w.to, err = newCursor(dir, temporary); err == nil {
		defer func() { w.to.close() }()
		err = w.copy(node, a)
	}
	if err == nil {
		err = replaceDirectory(dir, temporary, path.Base(name))
	}
	if err != nil {
		return errors.Join(&fs.PathError{Op: "put", Path: path.Join(dir.Name(), path.Base(name)), Err: err}, remove(dir, temporary))
	}
	c.keepLocked(name, a)
	return nil
}

// RemoveTree removes a path with everything below it.
func (c *Changer) RemoveTree(name string) error {
	dir, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	c.opened(path.Dir(name), dir)
	c.locked.Delete(name)
	return remove(dir, path.Base(name))
}

// makeTemporary creates a directory in another one, with an unused name.
func makeTemporary(dir *os.File) (name string, err error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	name = unfinished + hex.EncodeToString(random[:])
	if err := unix.Mkdirat(int(dir.Fd()), name, 0o700); err != nil {
		return "", &fs.PathError{Op: "mkdir", Path: path.Join(dir.Name(), name), Err: err}
	}
	return name, nil
}

// replaceDirectory renames a directory and removes the one that it replaces.
func replaceDirectory(dir *os.File, temporary, name string) error {
	unlock(dir, name)
	fd := int(dir.Fd())
	err := unix.Renameat2(fd, temporary, fd, name, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return unix.Renameat(fd, temporary, fd, name)
	}
	if err != nil {
		return err
	}
	return remove(dir, temporary)
}

// wholeCopy copies a directory with everything below it.
type wholeCopy struct {
	*Changer
	name     string
	from, to *cursor
	mark     uint64
	broken   error // the error that ends the copy
}

// copyLevel is a directory during the copy.
type copyLevel struct {
	names      []string
	attributes merge.Attributes
	modified   int64
}

func (w *wholeCopy) copy(node merge.Node, a merge.Attributes) error {
	names, err := w.from.names()
	if err != nil {
		return err
	}
	for levels := []copyLevel{{names, a, node.Modified}}; ; {
		l := &levels[len(levels)-1]
		if len(l.names) == 0 {
			w.behind("", w.finish(*l, len(levels) > 1))
			if levels = levels[:len(levels)-1]; len(levels) == 0 {
				return w.broken
			}
			if err := errors.Join(w.from.up(), w.to.up()); err != nil {
				return err
			}
			continue
		}
		name := l.names[0]
		l.names = l.names[1:]
		into, err := w.entry(name)
		w.behind(name, err)
		if w.broken != nil {
			return w.broken
		}
		if into != nil {
			levels = append(levels, *into)
		}
	}
}

// behind reports a file that could not be copied.
func (w *wholeCopy) behind(name string, err error) {
	switch {
	case err == nil:
	case IsDeviceError(err) || w.OnSkipped == nil:
		w.broken = err
	default:
		w.OnSkipped(path.Join(w.name, "...", name), err)
	}
}

// entry copies a name of the directory, and enters it if it is a directory.
func (w *wholeCopy) entry(name string) (into *copyLevel, err error) {
	f, st, err := w.from.look(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	node, err := w.From.describe(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	if node.Kind != merge.Directory {
		if err := w.file(f, st, name, node); err != nil {
			_ = unix.Unlinkat(w.to.fd(), name, 0)
			return nil, err
		}
		return nil, nil
	}
	if err := unix.Mkdirat(w.to.fd(), name, 0o700); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	if st.Dev != w.from.device { // a subvolume, which is not entered
		return nil, w.setMetadata(w.to.dir, name, node.Attributes)
	}
	if err := w.from.down(name); err != nil {
		return nil, err
	}
	if err := w.to.down(name); err != nil {
		w.broken = errors.Join(err, w.from.up())
		return nil, nil
	}
	names, err := w.from.names()
	return &copyLevel{names, node.Attributes, node.Modified}, err
}

// finish sets a directory's attributes, after its last entry was created.
func (w *wholeCopy) finish(l copyLevel, inner bool) error {
	if err := w.setMetadata(w.to.dir, ".", l.attributes); err != nil {
		return err
	}
	modified := unix.NsecToTimespec(l.modified)
	err := unix.UtimesNanoAt(w.to.fd(), ".", []unix.Timespec{modified, modified}, 0)
	if flags := int(l.attributes.Flags & locked); err == nil && inner && flags != 0 {
		lockOpened(w.to.fd(), flags)
	}
	return err
}

// file copies a node that is not a directory. All names of a file become names of one
// copy, which linksDir keeps as long as more names may follow.
func (w *wholeCopy) file(f *os.File, st unix.Stat_t, name string, node merge.Node) error {
	if node.Kind != merge.Regular {
		return w.make(w.to.dir, name, origin{}, node, node.Attributes)
	}
	node.Inode |= w.mark
	if st.Nlink > 1 {
		if linked, err := w.link(w.to.dir, name, node.Inode); linked || err != nil {
			return err
		}
	}
	fd, err := reopen(int(f.Fd()))
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	source := os.NewFile(uintptr(fd), name)
	defer source.Close()
	if err := w.copyOpened(source, w.to.dir, name, node.Attributes); err != nil {
		return err
	}
	if st.Nlink > 1 {
		return w.keepLink(w.to.dir, name, node.Inode)
	}
	if flags := int(node.Flags & locked); flags != 0 {
		if fd, err := unix.Openat(w.to.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			lockOpened(fd, flags)
			unix.Close(fd)
		}
	}
	return nil
}

// linksDir is the directory of To that keeps names of copied files as long as more
// names may follow.
const linksDir = unfinished + "links"

// keepLink gives a file a name in linksDir, by which link finds it.
func (c *Changer) keepLink(dir *os.File, name string, inode uint64) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := unix.Mkdirat(int(c.To.dir.Fd()), linksDir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return &fs.PathError{Op: "mkdir", Path: linksDir, Err: err}
	}
	kept := path.Join(linksDir, strconv.FormatUint(inode, 10))
	err := unix.Linkat(int(dir.Fd()), name, int(c.To.dir.Fd()), kept, 0)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EMLINK) {
		return nil // in another subvolume it is copied
	}
	if err != nil {
		return &fs.PathError{Op: "link", Path: name, Err: err}
	}
	c.links.Store(inode, kept)
	return nil
}

// forgetLinks removes linksDir.
func (c *Changer) forgetLinks() error { return c.To.Clear(linksDir) }

// lockOpened sets flags that prevent changes of an open file.
func lockOpened(fd, flags int) {
	if own, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err == nil {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, own|flags)
	}
}
