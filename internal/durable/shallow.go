package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// deepest is the maximum depth of directories for os.RemoveAll, which keeps all of them
// open, with the names of their files in memory.
const deepest = 100

// shallow moves directories below that depth to the top of the tree, which is garbage.
// Scripts may nest a million directories, more than there are descriptors and memory.
// Directories that cannot be moved stay.
func shallow(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	top := os.NewFile(uintptr(fd), path)
	defer top.Close()
	s := &shallower{top: top}
	s.level(top, 0)
	for len(s.found) > 0 {
		name := s.found[len(s.found)-1]
		s.found = s.found[:len(s.found)-1]
		s.enter(top, name, 1)
	}
}

type shallower struct {
	top   *os.File
	found []string // directories that were moved to the top
	count int
}

func (s *shallower) enter(parent *os.File, name string, depth int) {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	s.level(dir, depth)
}

func (s *shallower) level(dir *os.File, depth int) {
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
				continue
			}
			if depth < deepest {
				s.enter(dir, name, depth+1)
			} else {
				s.move(dir, name)
			}
		}
		if err != nil { // usually io.EOF
			return
		}
	}
}

func (s *shallower) move(dir *os.File, name string) {
	for {
		s.count++
		to := fmt.Sprintf(".apt-be-deep-%d", s.count)
		err := unix.Renameat2(int(dir.Fd()), name, int(s.top.Fd()), to, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			s.found = append(s.found, to)
			return
		case errors.Is(err, unix.EEXIST):
		case errors.Is(err, unix.EPERM) && s.loosen(dir, name):
		default:
			return
		}
	}
}

// loosen removes the attributes from two directories that prevent moving one out of the
// other, and reports whether there were any.
func (s *shallower) loosen(dir *os.File, name string) (had bool) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for _, fd := range []int{int(dir.Fd()), fd, int(s.top.Fd())} {
		flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
		if err == nil && flags&locking != 0 {
			had = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^locking)) == nil || had
		}
	}
	return had
}
