package rootfs

import (
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// attached is another tree that is visible at a place of a Root.
type attached struct {
	place string
	root  *Root
	mark  uint64
}

// numberBits is the maximum number of bits of an inode number. The bits above
// distinguish the trees, each of which has its own inode numbers.
const numberBits = 48

// Attach makes the tree in a directory visible at a place in the Root, like a mount: a
// nested subvolume, or one that the system mounts there. Inode numbers of different
// trees may be equal, so each place needs a different mark, from 1 on, which must be
// the same in all Roots that are compared.
func (r *Root) Attach(place, dir string, mark uint16) error {
	tree, err := OpenTree(dir, "")
	if err != nil {
		return err
	}
	tree.users, tree.groups, tree.flags = r.users, r.groups, r.flags
	r.attached = append(r.attached, attached{place: place, root: tree, mark: uint64(mark) << numberBits})
	slices.SortFunc(r.attached, func(a, b attached) int { return len(b.place) - len(a.place) })
	return nil
}

// holder returns the attached tree that contains a path, and the path in it, or nil.
func (r *Root) holder(name string) (a *attached, below string) {
	for i := range r.attached {
		a := &r.attached[i]
		if name == a.place {
			return a, "."
		}
		if below, ok := strings.CutPrefix(name, a.place+"/"); ok {
			return a, below
		}
	}
	return nil, ""
}

func (a *attached) node(name string) (merge.Node, error) {
	node, err := a.root.Node(name)
	node.Inode |= a.mark
	return node, err
}

// longestText is the maximum size of a file for ReadFile, in bytes.
const longestText = 64 << 20

// ReadFile returns the content of the regular file at a path, or nil if the path does
// not exist.
func (r *Root) ReadFile(name string) ([]byte, error) {
	f, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: fs.ErrInvalid}
	case info.Size() > longestText:
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: unix.EFBIG}
	}
	content, err := io.ReadAll(io.LimitReader(f, longestText))
	if content == nil && err == nil {
		content = []byte{}
	}
	return content, err
}
