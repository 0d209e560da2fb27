package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copyTree copies the files of a directory tree over those of another, each by one
// rename(2): a reader sees the old or the new file. keep reports whether a path is
// copied. Of a mount only the mount point is copied.
func copyTree(from, to string, keep func(path string) bool) error {
	device, err := deviceOf(from)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		target := filepath.Join(to, path)
		if path == "." {
			return os.MkdirAll(target, 0o755)
		}
		switch {
		case !keep(path) && entry.IsDir():
			return fs.SkipDir
		case !keep(path):
			return nil
		case entry.IsDir():
			here, err := deviceOf(file)
			if err == nil {
				err = copyDir(file, target)
			}
			if err == nil && here != device {
				return fs.SkipDir
			}
			return err
		case entry.Type() == fs.ModeSymlink:
			return copyLink(file, target)
		case entry.Type().IsRegular():
			return copyFile(file, target)
		}
		return nil // loaders use no other types
	})
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	return syncTree(to)
}

func deviceOf(file string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(file, &stat); err != nil {
		return 0, &fs.PathError{Op: "lstat", Path: file, Err: err}
	}
	return uint64(stat.Dev), nil
}

func copyDir(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(to, info.Mode().Perm())
}

func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(from, &stat); err != nil {
		return &fs.PathError{Op: "lstat", Path: from, Err: err}
	}
	temporary := to + copySuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temporary); err != nil {
		return err
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, temporary, []unix.Timespec{stat.Mtim, stat.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: temporary, Err: err}
	}
	return os.Rename(temporary, to)
}

// copySuffix ends the name of an incomplete file.
const copySuffix = ".apt-be-new"

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	temporary := to + copySuffix
	out, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = os.Chtimes(temporary, info.ModTime(), info.ModTime())
	}
	if err == nil {
		err = os.Rename(temporary, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// syncTree syncs the file system of a directory.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
