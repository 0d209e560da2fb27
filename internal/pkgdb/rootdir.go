package pkgdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// maxFileSize is the maximum size of a file to read, in bytes. The largest status files
// have about 10 MiB; a larger file is a trap or damaged.
const maxFileSize = 128 << 20

// errLeavesRoot reports that a symbolic link in the path leads out of the root.
// [os.Root] also refuses all absolute links.
var errLeavesRoot = errors.New("a symbolic link in the path is absolute or leaves the root")

// errNotRegular reports that the path is not a regular file.
var errNotRegular = errors.New("not a regular file")

// rootDir reads files below a directory that may contain anything. It refuses links
// that lead out, pipes and devices.
type rootDir struct {
	root *os.Root
	name string
}

func openRoot(name string) (*rootDir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open the root directory: %w", err)
	}
	return &rootDir{root: root, name: name}, nil
}

func (r *rootDir) close() { r.root.Close() }

// explain adds the meaning and the path to an error of [os.Root].
func (r *rootDir) explain(file string, err error) error {
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		err = onPath.Err
	}
	var number syscall.Errno
	known := errors.As(err, &number) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular)
	if !known {
		// In Go 1.24 the error for a path that escapes has no exported name.
		err = fmt.Errorf("%w (%v)", errLeavesRoot, err)
	}
	return fmt.Errorf("cannot read %s in %s: %w", file, r.name, err)
}

// stat describes a file, and follows symbolic links.
func (r *rootDir) stat(file string) (fs.FileInfo, error) {
	info, err := r.root.Stat(file)
	if err != nil {
		return nil, r.explain(file, err)
	}
	return info, nil
}

// read returns the contents of a regular file.
func (r *rootDir) read(file string) ([]byte, error) {
	// Check the type first, because opening a device may have an effect.
	info, err := r.stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, r.explain(file, errNotRegular)
	}
	f, err := r.root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, r.explain(file, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, r.explain(file, err)
	}
	if !info.Mode().IsRegular() {
		return nil, r.explain(file, errNotRegular)
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("cannot read %s in %s: it is larger than %d MiB", file, r.name, maxFileSize>>20)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		return nil, r.explain(file, err)
	}
	return content, nil
}

// readIfAny is read for a file that may be missing: then it returns nil.
func (r *rootDir) readIfAny(file string) ([]byte, error) {
	content, err := r.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// names lists a directory by name. A missing directory counts as empty. It opens the
// path only as a directory: opening a FIFO would block.
func (r *rootDir) names(dir string) ([]string, error) {
	f, err := r.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, r.explain(dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, r.explain(dir, err)
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}
