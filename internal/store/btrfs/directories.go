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

// directories has the directories of f's subvolume, each looked up once.
type directories struct {
	f     *os.File
	paths map[uint64]directoryPath
	told  map[string]bool // the substitute paths that were returned
	deep  bool            // there are substitute paths
}

// directoryPath is the path of a directory, with a slash at the end. If the path is too
// long, it is the substitute path of package longpath, without the slash.
type directoryPath struct {
	path string
	deep bool
}

// join returns the path of a name in a directory.
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
	if !d.deep { // one call, whatever the depth
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

// climb finds the path of a directory through the directories above it, up to a known
// one. It remembers all of them, so that all directories of a chain together need only
// as many steps as the chain is long.
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

// above returns the name of a directory in a subvolume (0 for f's own), with the
// directory above it: ENOENT if it was deleted.
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

// directory returns the path of a directory inside subvolume id, by its inode number:
// "" for the root directory, otherwise with a slash at the end.
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
