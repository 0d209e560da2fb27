// Package predecompress decompresses packages before dpkg needs them. dpkg unpacks one
// package after the other, and runs maintainer scripts in between, on one processor.
// Meanwhile the other processors can do the slowest part of unpacking.
//
// Results are files in a directory in memory. Inside the sandbox, a script
// (hooks/sandbox/bin/dpkg-deb) replaces dpkg's backend dpkg-deb(1). For a package file
// P, the two use these names:
//
//	P          a link to the package file: it will be processed
//	P.part     is being written; the writer holds an exclusive flock(2)
//	P.group    the process group that writes it
//	P.tar      is ready
//	P.done     dpkg has unpacked it; the result is no longer needed
//	P.control  its control files, as a tar archive
//	P.fields   the fields that apt-listchanges asks for
//	P.no-news  the package has no NEWS.Debian
//	.full      the space is used up
//
// Before dpkg begins, apt-listchanges(1) asks for the fields of each package and then
// searches it for news. Most packages have none, and the script answers with an empty
// archive. If a process needs a package that is not ready, the script decompresses it
// for that process and for dpkg, if there is space. The script passes every other
// request to dpkg-deb.
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

// Options are the parameters of Run.
type Options struct {
	Dir     string // the directory of the results; a separate file system, whose size is the limit
	Backend string // the path of dpkg-deb
	Workers int    // the number of packages to process in parallel
	News    bool   // apt-listchanges will look for news before dpkg begins
}

// Run reads the packages' control files and then decompresses the packages, in order,
// except for packages that another process needs earlier. If the space is used up, it
// waits until dpkg has unpacked a package. It returns when every remaining package was
// unpacked by dpkg or decompressed.
func Run(ctx context.Context, packages []string, o Options) error {
	q := queue{Options: o, packages: unambiguous(packages)}
	for _, pkg := range q.packages {
		if err := os.Symlink(pkg, q.place(pkg)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot predecompress packages: %w", err)
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

// inOrder sorts packages that may have news first, because apt-listchanges asks for
// them before dpkg begins. The largest packages take longest, so they come early; half
// of the space is reserved for the first packages of dpkg's order.
func (q *queue) inOrder(packages []string) []string {
	if !q.News {
		return packages
	}
	var st unix.Statfs_t
	if err := unix.Statfs(q.Dir, &st); err != nil {
		return packages
	}
	budget := int64(st.Blocks) * st.Bsize / 2
	var first []string
	for _, pkg := range packages {
		if !exists(q.place(pkg) + noNews) {
			first = append(first, pkg)
		}
	}
	slices.SortStableFunc(first, func(a, b string) int { return cmp.Compare(size(b), size(a)) })
	first = slices.DeleteFunc(first, func(pkg string) bool {
		wanted := growth * size(pkg)
		if wanted > budget {
			return true
		}
		budget -= wanted
		return false
	})
	rest := slices.DeleteFunc(slices.Clone(packages), func(pkg string) bool { return slices.Contains(first, pkg) })
	return append(first, rest...)
}

// each calls do for all packages, in parallel workers.
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

// unambiguous drops packages whose file name equals that of another package.
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

// queue distributes packages to workers.
type queue struct {
	Options
	mutex    sync.Mutex
	packages []string
	small    atomic.Int64 // the bytes of control files
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

// The suffixes of the names in the directory.
const (
	part  = ".part"
	group = ".group"
	ready = ".tar"
	done  = ".done"

	controlFiles = ".control"
	fields       = ".fields"
	noNews       = ".no-news"
)

// full is the file that marks the directory as full.
const full = ".full"

// place returns the path prefix of a package's files.
func (q *queue) place(pkg string) string { return filepath.Join(q.Dir, filepath.Base(pkg)) }

// growth is the estimated ratio of a package's decompressed size to its file size; few
// exceed it. If the estimate is too low, the space runs out.
const growth = 6

// prepare decompresses one package, unless dpkg has it already or it is too large.
func (q *queue) prepare(ctx context.Context, pkg string) error {
	info, err := os.Stat(pkg)
	if err != nil {
		return nil // dpkg will report the problem
	}
	place := q.place(pkg)
	for {
		if exists(place+done) || exists(place+ready) {
			return nil
		}
		if err := q.waitForSpace(ctx, place, growth*uint64(info.Size())); err != nil {
			if errors.Is(err, errTooLarge) {
				return nil
			}
			return err
		}
		err := q.decompress(ctx, pkg, place)
		if !errors.Is(err, errNoSpace) {
			return err
		}
	}
}

var (
	errTooLarge = errors.New("larger than the space for decompressed packages")
	errNoSpace  = errors.New("no space for decompressed packages")
)

// waitForSpace waits until wanted bytes are free, or until dpkg has the package.
func (q *queue) waitForSpace(ctx context.Context, place string, wanted uint64) error {
	// dpkg needs at least some hundredths of a second for a package.
	const pause = 20 * time.Millisecond
	for {
		q.removeUsed()
		var st unix.Statfs_t
		if err := unix.Statfs(q.Dir, &st); err != nil {
			return fmt.Errorf("cannot predecompress packages: %w", err)
		}
		if total := st.Blocks * uint64(st.Bsize); wanted > total/2 {
			return errTooLarge
		}
		if st.Bavail*uint64(st.Bsize) >= wanted || exists(place+done) {
			_ = os.Remove(filepath.Join(q.Dir, full))
			return nil
		}
		if err := os.WriteFile(filepath.Join(q.Dir, full), nil, 0o600); err != nil {
			return fmt.Errorf("cannot predecompress packages: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// removeUsed removes packages that dpkg has unpacked.
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

// decompress writes one package's files as a tar archive.
func (q *queue) decompress(ctx context.Context, pkg, place string) error {
	out, err := lockedFile(place + part)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process decompresses it
	}
	if err != nil {
		return fmt.Errorf("cannot predecompress packages: %w", err)
	}
	defer out.Close()
	backend := exec.CommandContext(ctx, q.Backend, "--fsys-tarfile", pkg)
	backend.Stdout = out
	backend.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = backend.Start()
	if err == nil {
		// A process that waits for the package raises the priority of this group.
		_ = os.WriteFile(place+group, []byte(strconv.Itoa(backend.Process.Pid)+"\n"), 0o600)
		err = backend.Wait()
		_ = os.Remove(place + group)
	}
	if err != nil {
		// dpkg reports damaged packages, and failures of a backend whose libraries are
		// being replaced.
		_ = os.Remove(place + part)
		if q.isFull() {
			return errNoSpace
		}
		return ctx.Err()
	}
	return os.Rename(place+part, place+ready)
}

// lockedFile creates a file that has an exclusive flock(2) from the moment when it gets
// its name: a reader that finds the file waits until it is complete.
func lockedFile(name string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err == nil {
		err = os.Link(f.Name(), name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isFull reports whether a failed write may have failed because the space is used up.
func (q *queue) isFull() bool {
	var st unix.Statfs_t
	return unix.Statfs(q.Dir, &st) == nil && st.Bavail < 64
}

// size returns the size of a file, or 0 if the file does not exist.
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
