//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// Store is a btrfs file system, seen from its top-level subvolume. Several goroutines
// may call its methods at once, except Close.
type Store struct {
	device string
	fsid   [16]byte
	mount  *os.File // O_PATH; the detached mount exists while it is open
	top    *os.File // the top-level subvolume, open for ioctls
}

var _ store.Store = (*Store)(nil)

// Open opens the btrfs file system of directory dir of the running system. The error
// wraps store.ErrUnsupported if it is not btrfs, or if dir is in a chroot whose root is
// not a mount point, so that the mount cannot be found.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the btrfs file system of %q: %w", dir, err)
	}
	return s, nil
}

func open(dir string) (*Store, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	source, err := sourceOf(f)
	if err != nil {
		return nil, err
	}
	fsid, err := fileSystemID(f)
	if err != nil {
		return nil, err
	}
	s, err := openDevice(source)
	if errors.Is(err, os.ErrNotExist) {
		// The device name may have been valid elsewhere, such as in an initrd or
		// another mount namespace.
		s, err = openKnownDevice(fsid, err)
	}
	if err != nil {
		return nil, err
	}
	if s.fsid != fsid {
		return nil, errors.Join(fmt.Errorf("%s is now another file system", s.device), s.Close())
	}
	return s, nil
}

// openKnownDevice opens a file system by one of its devices in sysfs (since Linux
// 3.14). It returns notFound if /dev has none of them.
func openKnownDevice(fsid [16]byte, notFound error) (*Store, error) {
	devices, err := os.ReadDir("/sys/fs/btrfs/" + uuid(fsid) + "/devices")
	if err != nil {
		return nil, notFound
	}
	for _, device := range devices {
		s, err := openDevice("/dev/" + device.Name())
		if !errors.Is(err, os.ErrNotExist) {
			return s, err
		}
	}
	return nil, notFound
}

// OpenDevice opens the btrfs file system on a block device, mounted or not. Any of
// several devices will do, once udev has scanned them. The error wraps
// store.ErrUnsupported if the kernel finds no btrfs.
func OpenDevice(device string) (*Store, error) {
	s, err := openDevice(device)
	if err != nil {
		return nil, fmt.Errorf("cannot open the btrfs file system on %q: %w", device, err)
	}
	return s, nil
}

func openDevice(device string) (*Store, error) {
	mount, err := mountTopLevel(device)
	if err != nil {
		return nil, err
	}
	s := &Store{device: device, mount: mount}
	// The descriptor of a mount is an O_PATH one, which supports neither ioctl(2) nor
	// syncfs(2).
	s.top, err = openAt(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		s.fsid, err = fileSystemID(s.top)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Path returns the absolute path of a file in the store. It is valid in all threads of
// this process until Close, and in no other process, because it leads through
// /proc/self. ".." cannot leave the store. Programs there cannot be executed, nor
// devices opened: the mount is noexec, nodev and nosuid. Old kernels refuse a detached
// mount as the source of a bind mount: mount Device for that.
func (s *Store) Path(p string) string {
	return filepath.Join(procPath(s.top), path.Clean("/"+p))
}

// procPath returns a path of an open file that is valid in all threads of the process.
func procPath(f *os.File) string {
	return "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
}

// Device returns the block device through which the file system was opened.
func (s *Store) Device() string { return s.device }

// Sync implements store.Store with syncfs(2).
func (s *Store) Sync() error {
	if err := unix.Syncfs(int(s.top.Fd())); err != nil {
		return fmt.Errorf("cannot write all data to %s: %w", s.device, err)
	}
	return nil
}

// Close closes the detached mount. No Path is valid afterwards.
func (s *Store) Close() error {
	var errs []error
	if s.top != nil {
		errs = append(errs, s.top.Close())
	}
	return errors.Join(append(errs, s.mount.Close())...)
}

// FileSystemUUID returns the file system's UUID, as blkid(8) prints it.
func (s *Store) FileSystemUUID() string { return uuid(s.fsid) }
