package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Flags of chattr(1) (linux/fs.h).
const (
	nocow     = 0x800000         // FS_NOCOW_FL: a file that is written in place
	immutable = 0x10             // FS_IMMUTABLE_FL
	locked    = immutable | 0x20 // and FS_APPEND_FL
)

// copyFile makes a file a copy of that at a path in From, or another name of the
// copy that was made of it before.
func (c *Changer) copyFile(dir *os.File, temporary, name string, node merge.Node, a merge.Attributes) error {
	if first, ok := c.links.Load(node.Inode); ok {
		first := first.(string)
		up, err := c.To.open(path.Dir(first), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer up.Close()
		err = unix.Linkat(int(up.Fd()), path.Base(first), int(dir.Fd()), temporary, 0)
		if !errors.Is(err, unix.EXDEV) { // in From they are in one subvolume, here they need not be
			return err
		}
	}
	source, err := c.From.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer source.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return err
	}
	target, err := create(dir, temporary)
	if err != nil {
		return err
	}
	if err := errors.Join(share(target, source), target.Close()); err != nil {
		return err
	}
	if err := c.dress(dir, temporary, a); err != nil {
		return err
	}
	if st.Nlink > 1 {
		c.links.Store(node.Inode, name)
	}
	if flags, err := unix.IoctlGetInt(int(source.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&locked != 0 {
		c.locked.Store(name, flags&locked)
	}
	return unix.UtimesNanoAt(int(dir.Fd()), temporary, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// share gives an empty file the content of another one, whose data it shares if
// the file system can do that.
func share(target, source *os.File) error {
	// Only files that are both written in place, or both not, can share data
	// (chattr(1)'s C), and only an empty one can be made such.
	flags, err := unix.IoctlGetInt(int(source.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		if own, err := unix.IoctlGetInt(int(target.Fd()), unix.FS_IOC_GETFLAGS); err == nil && (own^flags)&nocow != 0 {
			_ = unix.IoctlSetPointerInt(int(target.Fd()), unix.FS_IOC_SETFLAGS, own&^nocow|flags&nocow)
		}
	}
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	return copyData(target, source)
}

// copyData copies a file's data, and not its holes.
func copyData(target, source *os.File) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		start, err := unix.Seek(int(source.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no more
			return target.Truncate(info.Size())
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(int(source.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := source.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := target.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(target, source, end-start); err != nil {
			return err
		}
		at = end
	}
}

// makeSpecial makes what the Content of a Special node says.
func makeSpecial(dir *os.File, name, content string) error {
	kind, device, _ := strings.Cut(content, " ")
	mode, err := strconv.ParseUint(kind, 8, 32)
	if err != nil {
		return err
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(device, "%d:%d", &major, &minor); err != nil {
		return err
	}
	return unix.Mknodat(int(dir.Fd()), name, uint32(mode)|0o600, int(unix.Mkdev(major, minor)))
}

// Append puts what a file has in From, and had not in Base, after what it has in
// To: all of it if it does not begin with what it was in Base, such as a log that
// was rotated. Where From has all that To has, and more after it, that is it: an
// upgrade's log that the running system got too is there once.
func (c *Changer) Append(name string, a merge.Attributes) error {
	source, err := c.From.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer source.Close()
	all, err := beginsAs(c.To, name, source)
	if err != nil {
		return err
	}
	if all > 0 {
		return c.makeFile(name, a, func(f *os.File) error { return share(f, source) })
	}
	known, err := beginsAs(c.Base, name, source)
	if err != nil {
		return err
	}
	if _, err := source.Seek(known, io.SeekStart); err != nil {
		return err
	}
	there, err := c.To.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer there.Close()
	return c.makeFile(name, a, func(f *os.File) error { return appendTo(f, there, source) })
}

// beginsAs returns how much of a file is what there is in a root by that name:
// all that is there, or nothing.
func beginsAs(root *Root, name string, f *os.File) (int64, error) {
	before, err := root.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer before.Close()
	info, err := before.Stat()
	if err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	same, err := sameContent(before, io.LimitReader(f, info.Size()))
	if err != nil || !same {
		return 0, err
	}
	return info.Size(), nil
}

// appendTo makes an empty file one text after another, each in lines of its own.
func appendTo(f, first, second *os.File) error {
	if err := share(f, first); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return err
	}
	last := []byte{'\n'}
	if end > 0 {
		if _, err := first.ReadAt(last, end-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' {
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
	}
	_, err = io.Copy(f, second)
	return err
}
