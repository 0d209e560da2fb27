//go:build cgo

package btrfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/longpath"
)

// directories are those of the subvolume that holds f, looked up once.
type directories struct {
	f     *os.File
	paths map[uint64]directoryPath
	told  map[string]bool // which of the paths that stand for others were returned
	deep  bool            // there are such
}

// directoryPath is that of a directory, with a slash at the end. If it is too long,
// it is what stands for it, without one.
type directoryPath struct {
	path string
	deep bool
}

// join returns the path of what has a name in a directory.
func (d directoryPath) join(name string) directoryPath {
	switch {
	case d.deep:
		return d
	case longpath.Is(d.path + name):
		return directoryPath{d.path + name, true}
	}
	return directoryPath{d.path + name + "/", false}
}

func newDirectories(f *os.File) *directories {
	return &directories{f: f, paths: map[uint64]directoryPath{rootInode: {}}, told: map[string]bool{}}
}

// path returns the path of a directory: ENOENT if it was deleted.
func (d *directories) path(inode uint64) (directoryPath, error) {
	if found, known := d.paths[inode]; known {
		return found, nil
	}
	if !d.deep { // one call, however many directories are above
		path, err := lookUp(d.f, 0, inode)
		if err == nil && !longpath.Is(path) {
			found := directoryPath{path: path}
			d.paths[inode] = found
			return found, nil
		}
		if err != nil && !errors.Is(err, unix.ENAMETOOLONG) {
			return directoryPath{}, err
		}
		d.deep = true
	}
	return d.climb(inode)
}

// climb finds the path of a directory by those above it, up to one that is known.
// What it finds on the way is known from then on, so that a chain of directories
// takes as many steps as it is long, and no more for all of them.
func (d *directories) climb(inode uint64) (directoryPath, error) {
	found, way, err := directoryPath{}, []name(nil), error(nil)
	for at, known := inode, false; ; {
		if found, known = d.paths[at]; known {
			break
		}
		var up name
		if up, err = above(d.f, 0, at); err != nil {
			return directoryPath{}, err
		}
		way = append(way, name{at, up.name})
		at = up.dir
	}
	for _, step := range slices.Backward(way) {
		found = found.join(step.name)
		d.paths[step.dir] = found
	}
	return found, nil
}

// above returns the name of a directory in a subvolume, 0 for that which holds f, and
// the directory that it is in: ENOENT if it was deleted.
func above(f *os.File, tree, inode uint64) (name, error) {
	names, err := namesOf(f, tree, inode)
	if err == nil && len(names) == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return name{}, fmt.Errorf("cannot find the name of directory %d: %w", inode, err)
	}
	return names[0], nil
}

// directory returns the path of a directory inside subvolume id, by its inode
// number: "" for the root directory, and else with a slash at the end.
func directory(f *os.File, id, inode uint64) (string, error) {
	path, err := lookUp(f, id, inode)
	if !errors.Is(err, unix.ENAMETOOLONG) {
		return path, err
	}
	var way []string
	for inode != rootInode {
		up, err := above(f, id, inode)
		if err != nil {
			return "", err
		}
		way = append(way, up.name)
		inode = up.dir
	}
	slices.Reverse(way)
	return strings.Join(way, "/") + "/", nil
}
