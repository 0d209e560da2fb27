package dedupe

import (
	"context"
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/longpath"
)

// smallest is the minimum size of files to share, in bytes. btrfs stores smaller files
// in metadata (mount option max_inline, 2048 by default), where nothing can be shared.
const smallest = 2049

// found is a file of the new tree that differs in inode from the base.
type found struct {
	path     string // the path below the top directory
	inode    uint64
	size     int64
	samePath bool // the base has a regular file of this size at this path
}

// scan finds the new files of the tree: regular files that the base does not have, or
// has with another inode number. btrfs never reuses inode numbers, so a file with the
// same number is the base's. Such a file may have been rewritten in place with the same
// content, but no upgrade was seen to do that, and detecting it would need a look at
// each file instead of each directory.
func (t *trees) scan(ctx context.Context, workers int) ([]found, error) {
	var top unix.Stat_t
	if err := unix.Fstatat(t.root, "", &top, unix.AT_EMPTY_PATH); err != nil {
		return nil, err
	}
	s := &scanner{trees: t, device: uint64(top.Dev), ctx: ctx}
	s.wake.L = &s.mu
	s.todo = append(s.todo, ".")
	var pool sync.WaitGroup
	for range workers {
		pool.Add(1)
		go func() {
			defer pool.Done()
			s.work()
		}()
	}
	pool.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.found, s.err
}

// scanner walks two trees with a pool of workers.
type scanner struct {
	trees  *trees
	device uint64 // the device number of the subvolume; nested subvolumes are not in the base
	ctx    context.Context

	mu    sync.Mutex
	wake  sync.Cond
	todo  []string // directories to scan
	busy  int      // workers that may still find directories
	found []found
	err   error // the first error of the walk
}

// work scans directories until none are left.
func (s *scanner) work() {
	buffer := make([]byte, direntBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.todo) == 0 && s.busy > 0 {
			s.wake.Wait()
		}
		if len(s.todo) == 0 || s.err != nil || s.ctx.Err() != nil {
			s.todo = nil
			s.wake.Broadcast()
			return
		}
		dir := s.todo[len(s.todo)-1]
		s.todo = s.todo[:len(s.todo)-1]
		s.busy++
		s.mu.Unlock()
		files, below, err := s.directory(dir, buffer)
		s.mu.Lock()
		s.busy--
		s.found = append(s.found, files...)
		s.todo = append(s.todo, below...)
		if s.err == nil {
			s.err = err
		}
		s.wake.Broadcast()
	}
}

// directory returns the new files in a directory, and its subdirectories.
func (s *scanner) directory(dir string, buffer []byte) (files []found, below []string, err error) {
	now, err := openDir(s.trees.root, dir)
	if err != nil || now == nil {
		return nil, nil, err
	}
	defer now.close()
	if uint64(now.stat.Dev) != s.device {
		return nil, nil, nil
	}
	entries, err := readDir(now.fd, buffer)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if e.kind != unix.DT_DIR {
			continue
		}
		// Users may make trees of any depth; upgrades do not.
		if name := path.Join(dir, e.name); !longpath.Is(name) {
			below = append(below, name)
		}
	}
	before, err := openDir(s.trees.base, dir)
	if err != nil {
		return nil, nil, err
	}
	if before != nil {
		defer before.close()
	}
	files, err = newFiles(dir, now, before, entries, buffer)
	return files, below, err
}

// newFiles returns the entries of a directory that are not in the base's directory,
// which may be nil.
func newFiles(dir string, now, before *directory, entries []dirent, buffer []byte) (files []found, err error) {
	old := map[string]uint64{}
	if before != nil {
		if before.stat.Ino == now.stat.Ino && before.stat.Ctim == now.stat.Ctim {
			return nil, nil // no entry was created or replaced since the snapshot
		}
		inBase, err := readDir(before.fd, buffer)
		if err != nil {
			return nil, err
		}
		for _, e := range inBase {
			if e.kind == unix.DT_REG {
				old[e.name] = e.inode
			}
		}
	}
	for _, e := range entries {
		inode, known := old[e.name]
		if e.kind != unix.DT_REG || known && inode == e.inode {
			continue
		}
		stat, ok, err := statFile(now.fd, e.name)
		if err != nil {
			return nil, err
		}
		if !ok || stat.Size < smallest || stat.Blocks == 0 {
			continue
		}
		file := found{path: path.Join(dir, e.name), inode: stat.Ino, size: stat.Size}
		if known {
			other, ok, err := statFile(before.fd, e.name)
			if err != nil {
				return nil, err
			}
			file.samePath = ok && other.Size == stat.Size
		}
		files = append(files, file)
	}
	return files, nil
}

// directory is an open directory.
type directory struct {
	fd   int
	stat unix.Stat_t
}

// openDir opens a directory below a top directory. It returns nil if the directory does
// not exist.
func openDir(root int, name string) (*directory, error) {
	fd, err := openBeneath(root, name, unix.O_DIRECTORY)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &directory{fd: fd}
	if err := unix.Fstat(fd, &d.stat); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *directory) close() { unix.Close(d.fd) }

// statFile describes a file in a directory, if it is regular.
func statFile(dir int, name string) (stat unix.Stat_t, ok bool, err error) {
	err = unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return stat, false, nil
	}
	return stat, err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG, err
}
