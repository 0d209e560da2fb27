package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// settled is the minimum age of a change time. Two changes within one tick of the
// kernel's clock, at most 10 ms, have the same change time.
const settled = 20 * time.Millisecond

// Mirror copies a tree that other processes are changing.
type Mirror struct {
	Now func() time.Time

	to, from *Root
	copied   map[string]stamp // the stamp of each path when it was copied
}

// NewMirror returns a Mirror that copies the tree from into the tree to. The caller
// closes both.
func NewMirror(to, from *Root) *Mirror {
	return &Mirror{Now: time.Now, to: to, from: from, copied: map[string]stamp{}}
}

// Pass copies everything that is new or changed since the last Pass, with all names,
// attributes and times, and removes from the copy what no longer exists. It returns the
// paths of all these changes. If there are none, the copy is equal to the tree.
func (m *Mirror) Pass(ctx context.Context) (changed []string, err error) {
	begun := m.Now()
	now, err := m.from.scan()
	if err != nil {
		return nil, err
	}
	changed, lost := m.compare(now)
	for _, name := range slices.Backward(lost) {
		if err := m.drop(name); err != nil {
			return nil, err
		}
	}
	// Each Pass links the names of a file again, because the earlier copy has its old
	// content.
	c := &Changer{To: m.to, From: m.from}
	for _, name := range changed {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		done, err := m.copy(c, name, now[name])
		if err != nil {
			return nil, fmt.Errorf("cannot copy %s: %w", name, err)
		}
		s := now[name]
		if changed := time.Unix(s.changed.Unix()); !done || begun.Sub(changed) < settled {
			s.changed = unix.Timespec{} // to be checked again
		}
		m.copied[name] = s
	}
	return append(changed, lost...), nil
}

// Changed returns the paths that changed since the last Pass.
func (m *Mirror) Changed() ([]string, error) {
	now, err := m.from.scan()
	if err != nil {
		return nil, err
	}
	changed, lost := m.compare(now)
	return append(changed, lost...), nil
}

// compare returns the paths that are not copied yet, a directory before its content,
// and the paths of the copy that no longer exist. It treats all names of a file
// together.
func (m *Mirror) compare(now map[string]stamp) (changed, lost []string) {
	dirty := map[uint64]bool{}
	for name, s := range now {
		if s != m.copied[name] {
			dirty[s.inode] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if dirty[now[name].inode] {
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.copied)) {
		if _, ok := now[name]; !ok {
			lost = append(lost, name)
		}
	}
	return changed, lost
}

// Fingerprint returns the fingerprint of the tree at the last Pass.
func (m *Mirror) Fingerprint() string { return fingerprint(m.copied) }

// Inodes returns the inodes that the last Pass found.
func (m *Mirror) Inodes() map[uint64]bool {
	inodes := make(map[uint64]bool, len(m.copied))
	for _, s := range m.copied {
		inodes[s.inode] = true
	}
	return inodes
}

// drop removes a path of the copy with everything below it.
func (m *Mirror) drop(name string) error {
	delete(m.copied, name)
	return m.to.Clear(name)
}

// copy copies a path. It reports false if the path no longer has the stamp; then the
// next Pass copies it.
func (m *Mirror) copy(c *Changer, name string, s stamp) (done bool, err error) {
	node, err := m.from.Node(name)
	if err != nil || node.Kind != s.nodeKind() {
		return false, err
	}
	if name == "." {
		return true, c.SetAttributes(name, node.Attributes)
	}
	if old, ok := m.copied[name]; ok && old.kind != s.kind {
		if err := m.drop(name); err != nil {
			return false, err
		}
	}
	err = c.Copy(name, node, node.Attributes)
	if gone(err) {
		return false, nil
	}
	if err == nil && node.Kind != merge.Regular && node.Kind != merge.Directory {
		err = m.setTimes(name)
	}
	return err == nil, err
}

// Finish sets the times of directories and the flags of chattr(1) in the copy, which
// would have prevented the copying.
func (m *Mirror) Finish() error {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(m.copied))) {
		kind := m.copied[name].kind
		if kind != unix.S_IFDIR && kind != unix.S_IFREG {
			continue
		}
		if kind == unix.S_IFDIR {
			if err := m.setTimes(name); err != nil {
				return err
			}
		}
		if err := m.setFlags(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) setTimes(name string) error {
	source, err := m.from.open(name, unix.O_PATH)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: source.Name(), Err: err}
	}
	dir, err := m.to.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &fs.PathError{Op: "utimensat", Path: path.Join(dir.Name(), path.Base(name)), Err: err}
	}
	return nil
}

// setFlags gives a file or directory the flags of the original, if both file systems
// have flags.
func (m *Mirror) setFlags(name string) error {
	source, err := m.from.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	flags, err := unix.IoctlGetInt(int(source.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return nil
	}
	target, err := m.to.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer target.Close()
	own, err := unix.IoctlGetInt(int(target.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || own&carried == flags&carried {
		return nil
	}
	err = unix.IoctlSetPointerInt(int(target.Fd()), unix.FS_IOC_SETFLAGS, own&^carried|flags&carried)
	if err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) {
		return &fs.PathError{Op: "set flags of", Path: target.Name(), Err: err}
	}
	return nil
}

// Clear removes a path with everything below it; for "." only the content. It fails if
// something is left, such as a subvolume.
func (r *Root) Clear(name string) error {
	if name == "." {
		c, _, err := r.at(name)
		if err != nil {
			return err
		}
		defer func() { c.close() }()
		return c.clear()
	}
	dir, err := r.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := remove(dir, path.Base(name)); err != nil {
		return fmt.Errorf("cannot remove %s: %w", path.Join(r.dir.Name(), name), err)
	}
	return nil
}

// unlockDirectory is unlock for the directory at a path, which may be ".".
func unlockDirectory(r *Root, name string) {
	if dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
		unlock(dir, ".")
		dir.Close()
	}
}

// Sealed reports whether a directory is sealed: no entry can be created or removed.
func (r *Root) Sealed(name string) (bool, error) {
	dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&locked != 0, nil
}

// Seal makes a directory immutable (chattr(1)'s i), where the file system supports it,
// so that no entry can be created or removed.
func (r *Root) Seal(name string) error {
	dir, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	if flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		_ = unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, flags|immutable)
	}
	return nil
}

// Unseal reverses Seal.
func (r *Root) Unseal(name string) { unlockDirectory(r, name) }
