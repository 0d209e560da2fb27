package dedupe

import (
	"context"
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/longpath"
)

// smallest is the size from which on files are looked at, in bytes: up to it
// btrfs stores them with their metadata (mount option max_inline, 2048 unless
// it is set), and there is nothing to share.
const smallest = 2049

// found is a file of the new tree that is not the one of the base.
type found struct {
	path     string // below the top directory
	inode    uint64
	size     int64
	samePath bool // the base has a regular file of this size at this path
}

// scan finds what is new in the tree: regular files that the base hasn't, or
// has with another inode number. btrfs gives out no inode number twice, so a
// file of the same number is the one of the base. It may have been written in
// place, but no upgrade was seen that wrote the same there; to find out takes
// a look at each file, and not only at the directories.
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

// scanner walks two trees in a pool of workers.
type scanner struct {
	trees  *trees
	device uint64 // of the subvolume: those nested in it are not in the base
	ctx    context.Context

	mu    sync.Mutex
	wake  sync.Cond
	todo  []string // directories
	busy  int      // workers that may still find some
	found []found
	err   error // why the walk failed
}

// work scans directories until there are no more.
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

// directory returns what is new in a directory, and the directories in it.
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
		// A user's trees may be of any depth, and no upgrade makes any such.
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

// newFiles returns those of the entries of a directory that the one of the
// base, which may be nil, has not.
func newFiles(dir string, now, before *directory, entries []dirent, buffer []byte) (files []found, err error) {
	old := map[string]uint64{}
	if before != nil {
		if before.stat.Ino == now.stat.Ino && before.stat.Ctim == now.stat.Ctim {
			return nil, nil // no entry was made or replaced since the snapshot
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

// openDir opens a directory below a top directory: nil if there is none.
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

// statFile describes a file in a directory, if it is a regular one.
func statFile(dir int, name string) (stat unix.Stat_t, ok bool, err error) {
	err = unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return stat, false, nil
	}
	return stat, err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG, err
}
