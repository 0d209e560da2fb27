package upgrade

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// firstChanged returns the first path, among those that want accepts, that differs
// between two directories in type, mode, owner, link target or content. It returns ""
// if there is no difference.
func firstChanged(a, b string, want func(path string) bool) (string, error) {
	left, err := snapshotTree(a, want)
	if err != nil {
		return "", err
	}
	right, err := snapshotTree(b, want)
	if err != nil {
		return "", err
	}
	paths := maps.Clone(left)
	maps.Copy(paths, right)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		x, before := left[path]
		y, after := right[path]
		if !before || !after || x.kind != y.kind || x.target != y.target {
			return path, nil
		}
		if x.mtime == y.mtime {
			continue
		}
		same, err := sameContent(filepath.Join(a, path), filepath.Join(b, path))
		if err != nil || !same {
			return path, err
		}
	}
	return "", nil
}

// kind describes a file without its content.
type kind struct {
	mode     fs.FileMode
	uid, gid uint32
	size     int64
}

type treeEntry struct {
	kind   kind
	target string
	mtime  int64 // nanoseconds since 1970; 0 except for regular files
}

func snapshotTree(root string, want func(path string) bool) (map[string]treeEntry, error) {
	entries := map[string]treeEntry{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() || !want(rel) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // deleted meanwhile
		}
		st := info.Sys().(*syscall.Stat_t)
		e := treeEntry{kind: kind{mode: info.Mode(), uid: st.Uid, gid: st.Gid, size: info.Size()}}
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			e.target, _ = os.Readlink(path)
		case info.Mode().IsRegular():
			e.mtime = info.ModTime().UnixNano()
		}
		entries[rel] = e
		return nil
	})
	return entries, err
}

func sameContent(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}
