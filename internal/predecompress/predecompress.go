// Package predecompress decompresses packages before dpkg asks for them. dpkg works on
// one package after the other, and between two of them runs maintainer
// scripts, on one processor; meanwhile the others can do what takes longest of
// an unpack.
//
// What is ready lies in a directory, one that is in memory, where dpkg's
// backend dpkg-deb(1) is stood in for by a script (hooks/sandbox/bin/dpkg-deb).
// For a package file P they agree on these names:
//
//	P          a link to the package file: it is one that will be worked on
//	P.part     is being written, with an exclusive flock(2) on it
//	P.group    the process group that writes it
//	P.tar      is ready
//	P.done     was unpacked by dpkg: what is ready is not needed any more
//	P.control  its control files, as a tar archive
//	P.fields   the fields that apt-listchanges asks for
//	P.no-news  has no NEWS.Debian
//	.full      there is no room
//
// apt-listchanges(1) asks for the fields of all packages, one by one, and then
// looks for news in them, before dpkg may begin. Most have none: the script
// tells it so, by an archive without a file. What else somebody is first to want,
// the script decompresses for him and for dpkg, unless there is no room. What is
// not there for whatever reason is left to dpkg-deb.
package predecompress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to work.
type Options struct {
	Dir     string // what is ready lies there; a file system of its own, whose size is the bound
	Backend string // dpkg-deb, by its path
	Workers int    // how many packages at once
	News    bool   // somebody will look for news before dpkg begins
}

// Run reads the packages' control files, and then decompresses the packages, in
// their order but for those that somebody wants earlier. Where there is no room it
// waits until dpkg has used something up. It returns when there is nothing left
// that dpkg has not overtaken.
func Run(ctx context.Context, packages []string, o Options) error {
	q := queue{Options: o, packages: unambiguous(packages)}
	for _, pkg := range q.packages {
		if err := os.Symlink(pkg, q.place(pkg)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot unpack ahead: %w", err)
		}
	}
	all := q.packages
	err := q.each(func(pkg string) error {
		q.readControl(ctx, pkg)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	q.packages = q.inOrder(all)
	return q.each(func(pkg string) error { return q.prepare(ctx, pkg) })
}

// inOrder puts those packages first that may have news: apt-listchanges asks for
// them before dpkg begins. The largest take longest; and half of the room is for
// those that dpkg begins with.
func (q *queue) inOrder(packages []string) []string {
	if !q.News {
		return packages
	}
	var st unix.Statfs_t
	if err := unix.Statfs(q.Dir, &st); err != nil {
		return packages
	}
	room := int64(st.Blocks) * st.Bsize / 2
	var first []string
	for _, pkg := range packages {
		if !exists(q.place(pkg) + noNews) {
			first = append(first, pkg)
		}
	}
	slices.SortStableFunc(first, func(a, b string) int { return cmp.Compare(size(b), size(a)) })
	first = slices.DeleteFunc(first, func(pkg string) bool {
		wanted := growth * size(pkg)
		if wanted > room {
			return true
		}
		room -= wanted
		return false
	})
	rest := slices.DeleteFunc(slices.Clone(packages), func(pkg string) bool { return slices.Contains(first, pkg) })
	return append(first, rest...)
}

// each has the workers take all packages.
func (q *queue) each(do func(pkg string) error) error {
	var workers sync.WaitGroup
	errs := make([]error, q.Workers)
	for i := range errs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for pkg, ok := q.next(); ok && errs[i] == nil; pkg, ok = q.next() {
				errs[i] = do(pkg)
			}
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
	small    atomic.Int64 // bytes of control files
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

// Suffixes of the names in the directory.
const (
	part  = ".part"
	group = ".group"
	ready = ".tar"
	done  = ".done"

	controlFiles = ".control"
	fields       = ".fields"
	noNews       = ".no-news"
)

// full is the name of the file that says so.
const full = ".full"

// place is where a package has its names.
func (q *queue) place(pkg string) string { return filepath.Join(q.Dir, filepath.Base(pkg)) }

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
	place := q.place(pkg)
	for {
		if exists(place+done) || exists(place+ready) {
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
			_ = os.Remove(filepath.Join(q.Dir, full))
			return nil
		}
		if err := os.WriteFile(filepath.Join(q.Dir, full), nil, 0o600); err != nil {
			return fmt.Errorf("cannot unpack ahead: %w", err)
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
		place := strings.TrimSuffix(name, done)
		_ = os.Remove(place + ready)
		_ = os.Remove(place + controlFiles)
	}
}

// decompress writes one package's files, as a tar archive, to its place.
func (q *queue) decompress(ctx context.Context, pkg, place string) error {
	out, err := os.OpenFile(place+part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // somebody else is at it
	}
	if err != nil {
		return fmt.Errorf("cannot unpack ahead: %w", err)
	}
	defer out.Close()
	if err := unix.Flock(int(out.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot unpack ahead: %w", err)
	}
	backend := exec.CommandContext(ctx, q.Backend, "--fsys-tarfile", pkg)
	backend.Stdout = out
	backend.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = backend.Start()
	if err == nil {
		// Whoever waits for it gives it the priority of one that is waited for.
		_ = os.WriteFile(place+group, []byte(strconv.Itoa(backend.Process.Pid)+"\n"), 0o600)
		err = backend.Wait()
		_ = os.Remove(place + group)
	}
	if err != nil {
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

// size is 0 of a file that isn't there.
func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
