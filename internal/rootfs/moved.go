package rootfs

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Move is the move of a directory: its old place, its new place, and the node at the
// old place.
type Move struct {
	From, To string
	There    merge.Node // a link, or an empty directory
}

// Moved returns a read-only view of the root in which directories are moved. It is
// closed with the root.
func (r *Root) Moved(moves []Move) *Root {
	view := *r
	view.moves = moves
	return &view
}

// PathBefore returns the path before the moves.
func PathBefore(moves []Move, name string) string {
	for _, m := range moves {
		if below, ok := strings.CutPrefix(name, m.To); ok && (below == "" || below[0] == '/') {
			return m.From + below
		}
	}
	return name
}

// left returns the node at the old place of a move, if the path is one.
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

// arrived returns the names in a directory that moves have added.
func (r *Root) arrived(dir string) (names []string) {
	for _, m := range r.moves {
		if path.Dir(m.To) == dir {
			names = append(names, path.Base(m.To))
		}
	}
	return names
}

// Holds reports whether a path is in this root's file system and subvolume.
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

// Move moves a directory, and creates the node at its old place. It returns nil if the
// move was done before.
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
