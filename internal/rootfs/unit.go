package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// ReadStart returns the first bytes of a regular file in a Root, at most most.
func ReadStart(name string, tree merge.Tree, most int64) ([]byte, error) {
	f, err := tree.(*Root).open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: f.Name(), Err: errors.New("it is not a file")}
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// Rename renames paths in To to free paths. It creates the directory above, if
// possible.
func (c *Changer) Rename(moves []merge.Move) error {
	for _, m := range moves {
		if err := c.rename(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *Changer) rename(m merge.Move) error {
	from, err := c.To.open(path.Dir(m.From), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := c.To.open(path.Dir(m.To), unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		to, err = c.makeIn(path.Dir(m.To))
	}
	if gone(err) {
		return nil // it stays at its place
	}
	if err != nil {
		return err
	}
	defer to.Close()
	unlock(from, path.Base(m.From))
	err = unix.Renameat2(int(from.Fd()), path.Base(m.From), int(to.Fd()), path.Base(m.To), unix.RENAME_NOREPLACE)
	if err != nil {
		return &fs.PathError{Op: "rename", Path: path.Join(to.Name(), path.Base(m.To)), Err: err}
	}
	return nil
}

// makeIn creates a directory with access for root only.
func (c *Changer) makeIn(name string) (*os.File, error) {
	up, err := c.To.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	if err := unix.Mkdirat(int(up.Fd()), path.Base(name), 0o700); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: path.Join(up.Name(), path.Base(name)), Err: err}
	}
	return c.To.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
}
