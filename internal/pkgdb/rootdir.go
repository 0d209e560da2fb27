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

// maxFileSize is the most that is read of one file, in bytes. The largest
// status files are of some 10 MiB; a file beyond this is a trap or damaged.
const maxFileSize = 128 << 20

// errLeavesRoot says that a symbolic link on the way leads out of the root.
// [os.Root] refuses absolute ones as well, wherever they point.
var errLeavesRoot = errors.New("a symbolic link on its way is absolute or leads out of the root")

// errNotRegular says that there is something, but nothing with contents.
var errNotRegular = errors.New("not a regular file")

// rootDir reads files below a directory that may hold anything: links that
// lead out, pipes that never end, and devices are refused.
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

// explain makes an error of [os.Root] say what it means and where.
func (r *rootDir) explain(file string, err error) error {
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		err = onPath.Err
	}
	var number syscall.Errno
	known := errors.As(err, &number) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular)
	if !known {
		// The error for a path that escapes has no exported name in Go 1.24.
		err = fmt.Errorf("%w (%v)", errLeavesRoot, err)
	}
	return fmt.Errorf("cannot read %s in %s: %w", file, r.name, err)
}

// stat describes a file, through symbolic links.
func (r *rootDir) stat(file string) (fs.FileInfo, error) {
	info, err := r.root.Stat(file)
	if err != nil {
		return nil, r.explain(file, err)
	}
	return info, nil
}

// read returns the contents of a regular file.
func (r *rootDir) read(file string) ([]byte, error) {
	// Opening a device may already do something, so look before.
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

// readIfAny is read for a file that need not be there: it is nil then.
func (r *rootDir) readIfAny(file string) ([]byte, error) {
	content, err := r.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// names lists a directory by name. One that isn't there is empty. What a package has
// put in its place is opened as a directory or not at all: a FIFO would be waited for.
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
