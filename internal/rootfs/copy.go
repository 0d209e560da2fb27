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

// copyFile copies a file of From, or links to the copy that was made before.
func (c *Changer) copyFile(dir *os.File, temporary string, o origin, node merge.Node, a merge.Attributes) error {
	if linked, err := c.link(dir, temporary, node.Inode); linked || err != nil {
		return err
	}
	source, err := c.From.open(o.from, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer source.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return err
	}
	if err := c.copyOpened(source, dir, temporary, a); err != nil {
		return err
	}
	if st.Nlink > 1 {
		c.links.Store(node.Inode, o.to)
	}
	c.keepLocked(o.to, a)
	return nil
}

// link creates another name for an existing copy of From's file, if possible.
func (c *Changer) link(dir *os.File, name string, inode uint64) (linked bool, err error) {
	first, ok := c.links.Load(inode)
	if !ok {
		return false, nil
	}
	at := first.(string)
	up, err := c.To.open(path.Dir(at), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer up.Close()
	err = unix.Linkat(int(up.Fd()), path.Base(at), int(dir.Fd()), name, 0)
	// In From the names are in one subvolume, in To they may not be. The number of
	// links may also be at its limit, because linksDir keeps one more.
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EMLINK) {
		return false, nil
	}
	return err == nil, err
}

// copyOpened makes a file with the content and the times of another one.
func (c *Changer) copyOpened(source, dir *os.File, name string, a merge.Attributes) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return err
	}
	target, err := create(dir, name)
	if err != nil {
		return err
	}
	if err := errors.Join(reflink(target, source), target.Close()); err != nil {
		return err
	}
	if err := c.setMetadata(dir, name, a); err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// reflink copies a file's content to an empty file, by sharing the data if the file
// system can do that.
func reflink(target, source *os.File) error {
	// Files can share data only if both have the attribute NOCOW, or neither
	// (chattr(1)'s C). Only an empty file can change it.
	if flags, err := unix.IoctlGetInt(int(source.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		inPlace(target, flags&nocow != 0)
	}
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	return copyData(target, source)
}

// inPlace sets or clears the attribute NOCOW of an empty file, if the file system
// supports it.
func inPlace(f *os.File, wanted bool) {
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&nocow != 0 == wanted {
		return
	}
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags^nocow)
}

// copyData copies a file's data without its holes.
func copyData(target, source *os.File) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		start, err := unix.Seek(int(source.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // end of the data
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

// makeSpecial creates a Special node from its Content.
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
