// Package rootfs reads and changes root file systems that are not running, node by
// node, for package merge. It follows no symbolic links (openat2(2), Linux 5.6). Owners
// are names, also in access control lists; all other extended attributes, including
// file capabilities, are handled as bytes.
package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/openat2"
)

// Root is a root file system. It does not include other file systems and subvolumes in
// it, except attached ones.
type Root struct {
	dir      *os.File
	device   uint64
	accounts string // the directory whose etc/passwd and etc/group give the names of owners
	users    *names
	groups   *names
	attached []attached // the innermost first
	flags    bool       // read and set the flags of chattr(1): true for whole roots
	moves    []Move
}

// Open opens the root file system in a directory.
func Open(dir string) (*Root, error) {
	r, err := OpenTree(dir, dir)
	if err == nil {
		r.flags = true
	}
	return r, err
}

// OpenTree opens a directory that is a part of a root file system. The accounts of the
// root file system in the directory accounts give the names of owners; if accounts is
// "", no owner has a name.
func OpenTree(dir, accounts string) (*Root, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	r := &Root{dir: f, accounts: accounts}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "stat", Path: dir, Err: err}, f.Close())
	}
	r.device = st.Dev
	if err := r.ReadAccounts(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// Close closes the root.
func (r *Root) Close() error {
	errs := []error{r.dir.Close()}
	for _, a := range r.attached {
		errs = append(errs, a.root.Close())
	}
	return errors.Join(errs...)
}

// ReadAccounts reads the accounts again, after a change of /etc/passwd or /etc/group.
func (r *Root) ReadAccounts() error {
	for _, table := range []struct {
		file  string
		names **names
	}{{"etc/passwd", &r.users}, {"etc/group", &r.groups}} {
		var content []byte
		if r.accounts != "" {
			var err error
			content, err = inroot.ReadFile(r.accounts, table.file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cannot read the owners of files in %s: %w", r.dir.Name(), err)
			}
		}
		*table.names = parseNames(content)
	}
	for _, a := range r.attached {
		a.root.users, a.root.groups = r.users, r.groups
	}
	return nil
}

// names are the accounts of a passwd(5) or group(5) file.
type names struct {
	byNumber map[uint32]string
	byName   map[string]uint32
}

func parseNames(content []byte) *names {
	n := &names{byNumber: map[uint32]string{}, byName: map[string]uint32{}}
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 || strings.ContainsAny(fields[0][:min(1, len(fields[0]))], "+-#") {
			continue
		}
		number, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			continue
		}
		id := uint32(number)
		if _, ok := n.byNumber[id]; !ok { // the first entry counts (getpwuid(3))
			n.byNumber[id] = fields[0]
		}
		if _, ok := n.byName[fields[0]]; !ok {
			n.byName[fields[0]] = id
		}
	}
	return n
}

// name returns the name of a number, or the number itself if it has none.
func (n *names) name(id uint32) string {
	if name, ok := n.byNumber[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (n *names) number(name string) (uint32, error) {
	if id, ok := n.byName[name]; ok {
		return id, nil
	}
	id, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("no account %q", name)
	}
	return uint32(id), nil
}

// open opens a path. If the path does not exist, gone is true for the error. With
// O_PATH it opens a link itself.
func (r *Root) open(name string, flags uint64) (*os.File, error) {
	fd, err := r.descriptor(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(r.dir.Name(), name)), nil
}

// descriptor is open for descriptors that are closed immediately, because an os.File
// costs more.
func (r *Root) descriptor(name string, flags uint64) (int, error) {
	if _, left := r.left(name); left {
		return -1, &fs.PathError{Op: "open", Path: path.Join(r.dir.Name(), name), Err: unix.ENOENT}
	}
	name = PathBefore(r.moves, name)
	if a, below := r.holder(name); a != nil {
		return a.root.descriptor(below, flags)
	}
	fd, err := openat2.Open(int(r.dir.Fd()), name, unix.OpenHow{
		Flags:   flags | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path.Join(r.dir.Name(), name), Err: err}
	}
	return fd, nil
}

// gone reports whether an error means that a path does not exist, or has a component
// that is not a directory.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// Node implements merge.Tree.
func (r *Root) Node(name string) (merge.Node, error) {
	if node, left := r.left(name); left {
		return node, nil
	}
	if a, below := r.holder(PathBefore(r.moves, name)); a != nil {
		return a.node(below)
	}
	fd, err := r.descriptor(name, unix.O_PATH)
	if gone(err) {
		return merge.Node{}, nil
	}
	if err != nil {
		return merge.Node{}, err
	}
	defer unix.Close(fd)
	node, err := r.describe(fd)
	if err != nil {
		return merge.Node{}, &fs.PathError{Op: "look at", Path: path.Join(r.dir.Name(), name), Err: err}
	}
	return node, nil
}

func (r *Root) describe(fd int) (merge.Node, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return merge.Node{}, os.NewSyscallError("fstat", err)
	}
	node := merge.Node{
		Size: st.Size, Inode: st.Ino, Modified: st.Mtim.Nano(),
		Attributes: merge.Attributes{Mode: st.Mode & 0o7777, Owner: r.users.name(st.Uid), Group: r.groups.name(st.Gid)},
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		node.Kind = merge.Regular
	case unix.S_IFDIR:
		node.Kind, node.Size = merge.Directory, 0
	case unix.S_IFLNK:
		node.Kind, node.Mode = merge.Symlink, 0
		if node.Content, err = readLink(fd); err != nil {
			return merge.Node{}, err
		}
	default:
		node.Kind = merge.Special
		node.Content = fmt.Sprintf("%o %d:%d", st.Mode&unix.S_IFMT, unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	if node.Xattrs, err = xattrs(fd); err != nil {
		return merge.Node{}, err
	}
	if r.flags && (node.Kind == merge.Regular || node.Kind == merge.Directory) {
		if node.Flags, err = flagsOf(fd); err != nil {
			return merge.Node{}, err
		}
	}
	nameACLs(node.Xattrs, r.users, r.groups)
	return node, nil
}

func readLink(fd int) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	return string(target[:max(n, 0)]), os.NewSyscallError("readlinkat", err)
}

// Names implements merge.Tree.
func (r *Root) Names(name string) ([]string, error) {
	if a, below := r.holder(PathBefore(r.moves, name)); a != nil {
		return a.root.Names(below)
	}
	f, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Dev != r.device {
		return nil, nil
	}
	list, err := f.Readdirnames(-1)
	list = append(list, r.arrived(name)...)
	slices.Sort(list)
	return list, err
}
