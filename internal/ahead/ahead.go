// Package ahead decompresses packages before dpkg asks for them. dpkg works on
// one package after the other, and between two of them runs maintainer
// scripts, on one processor; meanwhile the others can do what takes longest of
// an unpack.
//
// What is ready lies in a directory, one that is in memory, where dpkg's
// backend dpkg-deb(1) is stood in for by a script (hooks/sandbox/bin/dpkg-deb).
// For a package file P they agree on these names:
//
//	P         a link to the package file: it is one that is worked on
//	P.part    is being written, with an exclusive flock(2) on it
//	P.tar     is ready
//	P.done    was unpacked by dpkg: P.tar is not needed any more
//
// What is not there, for whatever reason, the script leaves to dpkg-deb.
package ahead

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to work.
type Options struct {
	Dir     string // what is ready lies there; a file system of its own, whose size is the bound
	Backend string // dpkg-deb, by its path
	Workers int    // how many packages at once
}

// Run decompresses packages in their order, and waits where there is no room
// until dpkg has used something up. It returns when there is nothing left that
// dpkg has not overtaken.
func Run(ctx context.Context, packages []string, o Options) error {
	q := queue{Options: o, packages: unambiguous(packages)}
	var workers sync.WaitGroup
	errs := make([]error, o.Workers)
	for i := range errs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			errs[i] = q.work(ctx)
		}()
	}
	workers.Wait()
	return errors.Join(errs...)
}

// unambiguous drops packages whose file has the name of another one's.
func unambiguous(packages []string) []string {
	count := map[string]int{}
	for _, p := range packages {
		count[filepath.Base(p)]++
	}
	var kept []string
	for _, p := range packages {
		if count[filepath.Base(p)] == 1 {
			kept = append(kept, p)
		}
	}
	return kept
}

// queue hands out packages to workers.
type queue struct {
	Options
	mutex    sync.Mutex
	packages []string
}

func (q *queue) next() (pkg string, ok bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if len(q.packages) == 0 {
		return "", false
	}
	pkg, q.packages = q.packages[0], q.packages[1:]
	return pkg, true
}

func (q *queue) work(ctx context.Context) error {
	for {
		pkg, ok := q.next()
		if !ok {
			return nil
		}
		if err := q.prepare(ctx, pkg); err != nil {
			return err
		}
	}
}

// Suffixes of the names in the directory.
const (
	part  = ".part"
	ready = ".tar"
	done  = ".done"
)

// growth is how many times its size a package takes when it is decompressed;
// few take more. If that is wrong there is no room after all.
const growth = 6

// prepare makes one package ready, unless dpkg was there first or it is too
// large.
func (q *queue) prepare(ctx context.Context, pkg string) error {
	info, err := os.Stat(pkg)
	if err != nil {
		return nil // dpkg will say what is wrong
	}
	place := filepath.Join(q.Dir, filepath.Base(pkg))
	for {
		if exists(place + done) {
			return nil
		}
		if err := q.makeRoom(ctx, place, growth*uint64(info.Size())); err != nil {
			if errors.Is(err, errTooLarge) {
				return nil
			}
			return err
		}
		err := q.decompress(ctx, pkg, place)
		if !errors.Is(err, errNoRoom) {
			return err
		}
	}
}

var (
	errTooLarge = errors.New("there will never be room for it")
	errNoRoom   = errors.New("there is no room for it now")
)

// makeRoom waits until so many bytes are free, or dpkg has the package.
func (q *queue) makeRoom(ctx context.Context, place string, wanted uint64) error {
	// dpkg takes some hundredths of a second for a package at least.
	const pause = 20 * time.Millisecond
	for {
		q.removeUsed()
		var st unix.Statfs_t
		if err := unix.Statfs(q.Dir, &st); err != nil {
			return fmt.Errorf("cannot unpack ahead: %w", err)
		}
		if total := st.Blocks * uint64(st.Bsize); wanted > total/2 {
			return errTooLarge
		}
		if st.Bavail*uint64(st.Bsize) >= wanted || exists(place+done) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// removeUsed removes what dpkg needs no more.
func (q *queue) removeUsed() {
	used, err := filepath.Glob(filepath.Join(q.Dir, "*"+done))
	if err != nil {
		return
	}
	for _, name := range used {
		_ = os.Remove(name[:len(name)-len(done)] + ready)
	}
}

// decompress writes one package's files, as a tar archive, to its place.
func (q *queue) decompress(ctx context.Context, pkg, place string) error {
	out, err := os.OpenFile(place+part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another run of the frontend is at it
	}
	if err != nil {
		return fmt.Errorf("cannot unpack ahead: %w", err)
	}
	defer out.Close()
	// Before anybody knows of it, so that nobody waits for no lock.
	if err := unix.Flock(int(out.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot unpack ahead: %w", err)
	}
	if err := os.Symlink(pkg, place); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(fmt.Errorf("cannot unpack ahead: %w", err), os.Remove(place+part))
	}
	backend := exec.CommandContext(ctx, q.Backend, "--fsys-tarfile", pkg)
	backend.Stdout = out
	if err := backend.Run(); err != nil {
		// A damaged package is dpkg's to complain of, and so is a backend that does
		// not run while its libraries are being replaced.
		_ = os.Remove(place + part)
		if q.isFull() {
			return errNoRoom
		}
		return ctx.Err()
	}
	return os.Rename(place+part, place+ready)
}

// isFull says whether a write that failed may have failed for lack of room.
func (q *queue) isFull() bool {
	var st unix.Statfs_t
	return unix.Statfs(q.Dir, &st) == nil && st.Bavail < 64
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
