// Package debcache gives a sandbox an overlay of apt's cache of package files,
// /var/cache/apt/archives. The lower directory is the running system's cache; all
// writes go to a separate upper directory. After the sandbox has ended, downloads are
// copied to the running system's cache one by one. Only files are copied that one of
// the running system's own package lists describes, with the same size and hash, and
// under apt's name.
//
// So links, set-user-ID files and changed packages that a maintainer script leaves
// there reach no one. A script can only empty the cache.
package debcache

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// Place is the default directory of the cache.
const Place = "/var/cache/apt/archives"

// prefix is the prefix of the upper directories' names. Names of overlays whose
// additions are published begin with an escaped "/" (overlay.Layers), so the two cannot
// be confused.
const prefix = "archives-"

// Overlay is the overlay of the cache for one sandbox.
type Overlay struct {
	dir   string              // the upper directory
	own   *os.File            // dir, with a flock(2) on it while it is in use
	cache *os.File            // the running system's cache
	had   map[string]identity // the files that were in the cache, by name
}

// identity distinguishes a file from other files of the same name, and from its earlier
// content.
type identity struct {
	inode         uint64
	size          int64
	changed, nano int64
}

func identify(st unix.Stat_t) identity {
	return identity{inode: st.Ino, size: st.Size, changed: int64(st.Ctim.Sec), nano: int64(st.Ctim.Nsec)}
}

// Open makes an upper directory below scratch for the cache at place, and removes the
// directories of interrupted runs.
func Open(place, scratch string) (*Overlay, error) {
	fail := func(err error) (*Overlay, error) {
		return nil, fmt.Errorf("cannot make an overlay of the package cache %s: %w", place, err)
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return fail(err)
	}
	removeLeft(scratch)
	cache, err := os.OpenFile(place, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fail(err)
	}
	l := &Overlay{cache: cache, had: map[string]identity{}}
	err = each(cache, func(name string, st unix.Stat_t) { l.had[name] = identify(st) })
	if err == nil {
		l.dir, err = os.MkdirTemp(scratch, prefix)
	}
	if err == nil {
		l.own, err = os.Open(l.dir)
	}
	if err == nil {
		err = unix.Flock(int(l.own.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		l.end()
		return fail(err)
	}
	return l, nil
}

// Dir returns the name of the upper directory below scratch.
func (l *Overlay) Dir() string { return filepath.Base(l.dir) }

// removeLeft removes unused upper directories. It ignores errors, because a remaining
// directory does no harm.
func removeLeft(scratch string) {
	left, _ := filepath.Glob(filepath.Join(scratch, prefix+"*"))
	for _, dir := range left {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = durable.RemoveAll(dir)
		}
		f.Close()
	}
}

// end removes the upper directory and closes all files.
func (l *Overlay) end() error {
	var err error
	if l.dir != "" {
		err = durable.RemoveAll(l.dir)
		_ = os.Remove(filepath.Dir(l.dir)) // fails if other overlays are in it
	}
	for _, f := range []*os.File{l.own, l.cache} {
		if f != nil {
			f.Close()
		}
	}
	return err
}

// Report lists the changes of the running system's cache.
type Report struct {
	Kept    []string // the files that were added
	Removed []string // the files that were removed, as the frontend removed them
	// Unknown are package files that no list of the running system describes, or that
	// differ from the description.
	Unknown []string
}

// lockPatience is how long to wait for apt in the running system, which may be
// downloading for hours.
const lockPatience = 3 * time.Second

// CopyBack updates the running system's cache, and removes the upper directory. The
// caller calls it after the sandbox has ended. lists is the directory of the running
// system's package lists.
func (l *Overlay) CopyBack(lists string) (r Report, err error) {
	defer func() {
		if ended := l.end(); err == nil && ended != nil {
			err = fmt.Errorf("cannot remove the overlay of the package cache: %w", ended)
		}
	}()
	upper, err := l.openUpper()
	if err != nil || upper == nil {
		return r, err
	}
	defer upper.Close()
	written, gone, err := changes(upper)
	if err == nil && len(written)+len(gone) > 0 {
		err = l.bring(upper, written, gone, lists, &r)
	}
	if err != nil {
		err = fmt.Errorf("cannot keep the downloaded packages: %w", err)
	}
	return r, err
}

// openUpper opens the upper directory, or returns nil if the sandbox was never
// assembled. The upper directory contains a complete copy if the file system cannot be
// the lower side of an overlay.
func (l *Overlay) openUpper() (*os.File, error) {
	for _, name := range []string{"upper", "copy"} {
		f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err == nil || !os.IsNotExist(err) {
			return f, err
		}
	}
	return nil, nil
}

// mostMistakes is the maximum number of files that have the name and the size of a
// package but other content. apt leaves no such file. After this number, the remaining
// files are not read: a script could have made thousands, and apt's lock is held
// meanwhile.
const mostMistakes = 16

func (l *Overlay) bring(upper *os.File, written map[string]bool, gone []string, lists string, r *Report) error {
	known := map[string][]pkgdb.Archive{}
	if len(written) > 0 {
		err := pkgdb.EachList(lists, func(list io.Reader) error { return pkgdb.ReadArchives(list, written, known) })
		if err != nil {
			return err
		}
	}
	lock, err := lockCache(l.cache, lockPatience)
	if err != nil {
		return err
	}
	defer lock.Close()
	mistakes := 0
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if mistakes >= mostMistakes {
			r.Unknown = append(r.Unknown, name)
			continue
		}
		kept, err := l.keep(upper, name, known[name])
		switch {
		case err != nil:
			return err
		case kept == added:
			r.Kept = append(r.Kept, name)
		case kept == wrong:
			mistakes++
			r.Unknown = append(r.Unknown, name)
		case kept == unknown:
			r.Unknown = append(r.Unknown, name)
		}
	}
	for _, name := range gone {
		if l.unchanged(name) && unix.Unlinkat(int(l.cache.Fd()), name, 0) == nil {
			r.Removed = append(r.Removed, name)
		}
	}
	return nil
}

// unchanged reports whether a file of the running system's cache is the same as before
// Open.
func (l *Overlay) unchanged(name string) bool {
	st, err := lstat(l.cache, name)
	was, ok := l.had[name]
	return ok && err == nil && isFile(st) && identify(st) == was
}

// changes returns the files that a sandbox wrote and whose names look like packages,
// and the files that it removed (an overlay's whiteouts).
func changes(upper *os.File) (written map[string]bool, gone []string, err error) {
	written = map[string]bool{}
	err = each(upper, func(name string, st unix.Stat_t) {
		switch {
		case isFile(st) && st.Nlink == 1 && st.Size > 0:
			written[name] = true
		case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0:
			gone = append(gone, name)
		}
	})
	return written, gone, err
}

// most is the maximum number of files of a directory that are examined. The largest
// upgrades have some thousands of packages, and scripts may leave any number of files.
const most = 1 << 16

// each calls do for the files of a directory whose names may be those of packages.
func each(dir *os.File, do func(name string, st unix.Stat_t)) error {
	for seen := 0; seen < most; {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if !looksLikePackage(name) {
				continue
			}
			if st, err := lstat(dir, name); err == nil {
				do(name, st)
			}
		}
		seen += len(names)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// looksLikePackage reports whether apt may give this name to a file in its cache.
func looksLikePackage(name string) bool {
	kind := filepath.Ext(name)
	return strings.Count(strings.TrimSuffix(name, kind), "_") == 2 && (kind == ".deb" || kind == ".ddeb") && name[0] != '.'
}

func lstat(dir *os.File, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func isFile(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
