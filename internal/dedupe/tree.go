package dedupe

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/openat2"
)

// trees are the two sides of a pass, by the descriptors of their top directories.
type trees struct {
	base, root int
}

func openTrees(base, root string) (*trees, error) {
	t := &trees{base: -1, root: -1}
	for _, side := range []struct {
		fd   *int
		name string
	}{{&t.base, base}, {&t.root, root}} {
		fd, err := unix.Open(side.name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.close()
			return nil, &fs.PathError{Op: "open", Path: side.name, Err: err}
		}
		*side.fd = fd
	}
	return t, nil
}

func (t *trees) close() {
	for _, fd := range []int{t.base, t.root} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// openBeneath opens a path below a directory. It follows neither links nor mount
// points.
func openBeneath(root int, path string, flags uint64) (int, error) {
	return openat2.Open(root, path, unix.OpenHow{
		Flags:   flags | unix.O_RDONLY | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
}

// errChanged reports that a file changed since it was scanned.
var errChanged = errors.New("the file changed")

// openFile opens a regular file of a given size.
func openFile(root int, path string, size int64) (int, error) {
	// Do not wait for the writer of a FIFO.
	fd, err := openBeneath(root, path, unix.O_NONBLOCK|unix.O_NOCTTY)
	if gone(err) {
		return -1, errChanged
	}
	if err != nil {
		return -1, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Size != size {
		unix.Close(fd)
		return -1, errChanged
	}
	return fd, nil
}

// gone reports whether a file could not be opened because it no longer exists, or is no
// longer a file or directory.
func gone(err error) bool {
	for _, is := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
