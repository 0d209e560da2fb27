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

// setMetadata sets the attributes of a file in a directory. The order matters: a change
// of the owner removes file capabilities, and the mode is a part of the access control
// list.
func (c *Changer) setMetadata(dir *os.File, name string, a merge.Attributes) error {
	uid, err := number(a.Owner, c.To.users, c.From.users)
	if err != nil {
		return err
	}
	gid, err := number(a.Group, c.To.groups, c.From.groups)
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
	kind := st.Mode & unix.S_IFMT
	hasFlags := c.To.flags && (kind == unix.S_IFREG || kind == unix.S_IFDIR)
	if hasFlags {
		unlockFor(fd)
	}
	if st.Uid != uid || st.Gid != gid {
		if err := unix.Fchownat(fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH); err != nil {
			return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
		}
	}
	link := fmt.Sprintf("/proc/self/fd/%d", fd)
	if kind != unix.S_IFLNK {
		if err := unix.Chmod(link, a.Mode); err != nil {
			return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
		}
	}
	wanted, err := c.numberACLs(a.Xattrs)
	if err != nil {
		return &fs.PathError{Op: "dress", Path: f.Name(), Err: err}
	}
	if err := setXattrs(f, link, wanted); err != nil || !hasFlags {
		return err
	}
	if err := setFlags(fd, a.Flags); err != nil {
		return &fs.PathError{Op: "chattr", Path: f.Name(), Err: err}
	}
	return nil
}

// number returns an account's number in a root. If the account does not exist there,
// because an upgrade has removed it, it returns the number in the other root.
func number(name string, here, there *names) (uint32, error) {
	id, err := here.number(name)
	if err != nil {
		return there.number(name)
	}
	return id, nil
}

func setXattrs(f *os.File, link string, wanted map[string]string) error {
	there, err := xattrs(int(f.Fd()))
	if err != nil {
		return &fs.PathError{Op: "look at", Path: f.Name(), Err: err}
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

// Renumber changes the owner, the group, and the access control lists of a path to
// other numbers, where the maps contain any. It returns nil if the path does not exist.
func (r *Root) Renumber(name string, users, groups map[uint32]uint32) error {
	f, err := r.open(name, unix.O_PATH)
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
	attributes, err := xattrs(int(f.Fd()))
	if err != nil {
		return &fs.PathError{Op: "look at", Path: f.Name(), Err: err}
	}
	if err := renumberACLs(attributes, users, groups); err != nil {
		return err
	}
	link := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if uid == st.Uid && gid == st.Gid {
		return setXattrs(f, link, attributes)
	}
	if err := unix.Fchownat(int(f.Fd()), "", int(uid), int(gid), unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	// A change of the owner clears setuid, setgid and file capabilities.
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(link, st.Mode&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
		}
	}
	return setXattrs(f, link, attributes)
}
