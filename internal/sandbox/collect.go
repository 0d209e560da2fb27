package sandbox

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	collectLimit = 16 << 20 // the limit for one collected file, in bytes
	collectTotal = 48 << 20 // the limit for all collected files, in bytes
	spoolLimit   = 16 << 20 // the limit for all files in the spool, in bytes
	spoolFiles   = 100      // the limit for the number of files in the spool
)

// observed has the state of files in a sandbox before its command ran.
type observed map[string]fs.FileInfo

// observe records the state of the files of the root at dir whose changes are
// collected.
func observe(dir string, spec Spec) observed {
	before := observed{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return before
	}
	defer root.Close()
	for _, name := range slices.Concat(spec.Written, spec.Grown) {
		if info, err := root.Lstat(inside(name)); err == nil {
			before[name] = info
		}
	}
	return before
}

// inside returns a path of the root in the form that os.Root takes.
func inside(name string) string { return "." + filepath.Clean("/"+name) }

// collect reads the files that the supervisor asked for. Maintainer scripts wrote them,
// so they may have any type and size.
func (before observed) collect(dir string, spec Spec) map[string][]byte {
	collected := map[string][]byte{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return collected
	}
	defer root.Close()
	remaining := int64(collectTotal)
	take := func(name string, from int64) {
		if data, err := readRegular(root, inside(name), from, min(collectLimit, remaining)); err == nil {
			collected[name] = data
			remaining -= int64(len(data))
		}
	}
	for _, name := range spec.Collect {
		take(name, 0)
	}
	for _, name := range spec.Written {
		if info, err := root.Lstat(inside(name)); err == nil && before.written(name, info) {
			take(name, 0)
		}
	}
	for _, name := range spec.Grown {
		if info, err := root.Lstat(inside(name)); err == nil && before.written(name, info) {
			take(name, before.length(name, info))
		}
	}
	return collected
}

// written reports whether a file was replaced or written to.
func (before observed) written(name string, now fs.FileInfo) bool {
	old, was := before[name]
	return !was || !os.SameFile(old, now) || !old.ModTime().Equal(now.ModTime()) || old.Size() != now.Size()
}

// length returns the length that a file had before: 0 if it was replaced, as by
// logrotate(8).
func (before observed) length(name string, now fs.FileInfo) int64 {
	old, was := before[name]
	if !was || !os.SameFile(old, now) || now.Size() < old.Size() {
		return 0
	}
	return old.Size()
}

// readRegular reads a regular file from an offset, up to a limit in bytes.
func readRegular(root *os.Root, name string, from, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// spooled reads the files in the spool. It skips a file that would exceed the limit,
// because a part of a file is useless.
func spooled(at string, spec Spec) [][]byte {
	if spec.Spool == "" {
		return nil
	}
	top, err := os.OpenRoot(at)
	if err != nil {
		return nil
	}
	defer top.Close()
	root, err := top.OpenRoot(inside(spec.Spool))
	if err != nil {
		return nil
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return nil
	}
	defer dir.Close()
	type left struct {
		name string
		time time.Time
	}
	var found []left
	entries, _ := dir.ReadDir(-1)
	for _, entry := range entries {
		// Not entry.Info, which in Go 1.24 looks at a path outside of the root.
		if info, err := root.Lstat(entry.Name()); err == nil && info.Mode().IsRegular() {
			found = append(found, left{entry.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b left) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.name, b.name))
	})
	var files [][]byte
	remaining := int64(spoolLimit)
	for _, f := range found[:min(len(found), spoolFiles)] {
		data, err := readRegular(root, f.name, 0, remaining+1)
		if err != nil || int64(len(data)) > remaining {
			continue
		}
		remaining -= int64(len(data))
		files = append(files, data)
	}
	return files
}
