package fake

import (
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// walk calls visit for the root directory of the subvolume at p, as ".", and
// all in it but what is in nested subvolumes, of which only the directory is
// visited.
func (s *Store) walk(st *state, p string, visit func(name string, info os.FileInfo, nested bool) error) error {
	root := s.Path(p)
	return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		nested := name != "." && st.Subvolumes[path.Join(p, name)] != nil
		if err := visit(name, info, nested); err != nil || !nested {
			return err
		}
		return filepath.SkipDir
	})
}

// fingerprint returns a number that changes when a file in the subvolume changes.
// It leaves out the sizes of directories: on tmpfs, a directory's size is the
// number of its entries, which includes nested subvolumes. The names of all other
// entries are in the fingerprint.
func (s *Store) fingerprint(st *state, p string) (uint64, error) {
	sum := fnv.New64a()
	err := s.walk(st, p, func(name string, info os.FileInfo, nested bool) error {
		if nested {
			return nil
		}
		changed := int64(0)
		if name != "." { // whose time changes when the subvolume is renamed
			changed = info.Sys().(*syscall.Stat_t).Ctim.Nano()
		}
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		_, err := fmt.Fprintf(sum, "%q %v %d %d\n", name, info.Mode(), size, changed)
		return err
	})
	return sum.Sum64(), err
}

// copySubvolume copies the files of the subvolume at p to a new directory, with
// type, mode, times, hard links, and for root also owners.
func (s *Store) copySubvolume(st *state, p, to string) error {
	if err := removeAll(to); err != nil {
		return err
	}
	links := map[uint64]string{} // by inode: what it was copied to
	var directories []func() error
	err := s.walk(st, p, func(name string, info os.FileInfo, nested bool) error {
		src, dst := filepath.Join(s.Path(p), name), filepath.Join(to, name)
		stat := info.Sys().(*syscall.Stat_t)
		if info.IsDir() {
			directories = append(directories, func() error { return copyAttributes(dst, info) })
			return os.Mkdir(dst, 0o700)
		}
		if first, ok := links[stat.Ino]; ok {
			return os.Link(first, dst)
		}
		links[stat.Ino] = dst
		if err := copyFile(src, dst, info); err != nil {
			return err
		}
		return copyAttributes(dst, info)
	})
	for i := len(directories) - 1; i >= 0 && err == nil; i-- {
		err = directories[i]()
	}
	return err
}

func copyFile(src, dst string, info os.FileInfo) error {
	switch info.Mode().Type() {
	case 0:
		return copyContent(src, dst)
	case os.ModeSymlink:
		target, err := os.Readlink(src)
		if err != nil {
			return err
		}
		return os.Symlink(target, dst)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if err := unix.Mknod(dst, stat.Mode, int(stat.Rdev)); err != nil {
		return &fs.PathError{Op: "mknod", Path: dst, Err: err}
	}
	return nil
}

func copyContent(src, dst string) (err error) {
	from, err := os.Open(src)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

// copyAttributes gives a copy the owner, mode and modification time that info has.
func copyAttributes(dst string, info os.FileInfo) error {
	stat := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() == 0 {
		if err := os.Lchown(dst, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
	}
	if info.Mode().Type() == os.ModeSymlink {
		return nil
	}
	if err := os.Chmod(dst, info.Mode()); err != nil {
		return err
	}
	return os.Chtimes(dst, info.ModTime(), info.ModTime())
}

// removeAll removes a tree, also what is in directories that are not writable.
func removeAll(root string) error {
	if os.Geteuid() != 0 {
		err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if entry != nil && entry.IsDir() {
				return os.Chmod(file, 0o700)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(root)
}
