package rootfs

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Move is of a directory: where it was, where it is, and what is in its old place.
type Move struct {
	From, To string
	There    merge.Node // a link, or an empty directory
}

// Moved returns a view of the root, as if directories had been moved in it. It is to
// be read only, and is closed with the root.
func (r *Root) Moved(moves []Move) *Root {
	view := *r
	view.moves = moves
	return &view
}

// PathBefore returns the path that something had before directories were moved.
func PathBefore(moves []Move, name string) string {
	for _, m := range moves {
		if below, ok := strings.CutPrefix(name, m.To); ok && (below == "" || below[0] == '/') {
			return m.From + below
		}
	}
	return name
}

// left returns what a path is from where something was moved away, if it is one.
func (r *Root) left(name string) (node merge.Node, ok bool) {
	for _, m := range r.moves {
		if below, ok := strings.CutPrefix(name, m.From); ok && (below == "" || below[0] == '/') {
			if below == "" {
				node = m.There
			}
			return node, true
		}
	}
	return node, false
}

// arrived returns the names in a directory to which something was moved.
func (r *Root) arrived(dir string) (names []string) {
	for _, m := range r.moves {
		if path.Dir(m.To) == dir {
			names = append(names, path.Base(m.To))
		}
	}
	return names
}

// Holds says whether what is at a path is in this root, and not in another file
// system or subvolume.
func (r *Root) Holds(name string) (bool, error) {
	fd, err := r.descriptor(name, unix.O_PATH)
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return err == nil && st.Dev == r.device, err
}

// Move moves a directory, and puts something in its old place. One that was moved
// already is no error.
func (c *Changer) Move(m Move) error {
	if there, err := c.To.Node(m.From); err != nil || there.Kind != merge.Directory {
		return err
	}
	if there, err := c.To.Node(m.To); err != nil || there.Kind != merge.Missing {
		return err
	}
	from, err := c.parent(m.From)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := c.parent(m.To)
	if err != nil {
		return err
	}
	defer to.Close()
	unlock(from, path.Base(m.From))
	if err := unix.Renameat(int(from.Fd()), path.Base(m.From), int(to.Fd()), path.Base(m.To)); err != nil {
		return fmt.Errorf("cannot move /%s to /%s: %w", m.From, m.To, err)
	}
	c.SetTime(m.From, m.There.Modified)
	return c.Copy(m.From, m.There, m.There.Attributes)
}
