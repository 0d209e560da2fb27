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

// nocow is FS_NOCOW_FL (linux/fs.h): a file that is written in place.
const nocow = 0x800000

// copyFile makes a file a copy of that at a path in From, or another name of the
// copy that was made of it before.
func (c *Changer) copyFile(dir *os.File, temporary, name string, node merge.Node, a merge.Attributes) error {
	if first, ok := c.links[node.Inode]; ok {
		up, err := c.To.open(path.Dir(first), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer up.Close()
		return unix.Linkat(int(up.Fd()), path.Base(first), int(dir.Fd()), temporary, 0)
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
	if err := c.To.dress(dir, temporary, a); err != nil {
		return err
	}
	if st.Nlink > 1 {
		if c.links == nil {
			c.links = map[uint64]string{}
		}
		c.links[node.Inode] = name
	}
	return unix.UtimesNanoAt(int(dir.Fd()), temporary, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// share gives an empty file the content of another one, whose data it shares if
// the file system can do that.
func share(target, source *os.File) error {
	// Only files that are both written in place, or both not, can share data
	// (chattr(1)'s C), and only an empty one can be made such.
	flags, err := unix.IoctlGetInt(int(source.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&nocow != 0 {
		_ = unix.IoctlSetPointerInt(int(target.Fd()), unix.FS_IOC_SETFLAGS, nocow)
	}
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	_, err = io.Copy(target, source)
	return err
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
