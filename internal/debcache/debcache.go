// Package debcache lends apt's cache of package files, /var/cache/apt/archives, to a
// sandbox. Inside it is an overlay: the cache of the running system below, and a
// directory of its own above, to which all is written. When the sandbox has ended,
// what it has downloaded is copied to the running system's cache, file by file, and
// nothing else: only what a list of packages describes that the running system has
// fetched itself, with its size and hash, under the name that apt gives it.
//
// So what a maintainer script leaves there reaches nobody: links, set-user-ID files,
// and packages that were changed. All that a script can do is to empty the cache.
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

// Place is where the cache is, unless apt is configured otherwise.
const Place = "/var/cache/apt/archives"

// prefix begins the names of the upper directories. Names of layers that are
// published begin with an escaped "/" (overlay.Layers), so these are none.
const prefix = "archives-"

// Overlay is a cache that is lent to a sandbox.
type Overlay struct {
	dir   string              // for what is written to it
	own   *os.File            // dir, with a flock(2) on it for as long as it is in use
	cache *os.File            // the running system's
	had   map[string]identity // what was in it, by name
}

// identity tells a file from another one of the same name, and from what it was.
type identity struct {
	inode         uint64
	size          int64
	changed, nano int64
}

func identify(st unix.Stat_t) identity {
	return identity{inode: st.Ino, size: st.Size, changed: int64(st.Ctim.Sec), nano: int64(st.Ctim.Nsec)}
}

// Open makes a directory below scratch for what is written to the cache at place, and
// removes those that runs have left which were cut off.
func Open(place, scratch string) (*Overlay, error) {
	fail := func(err error) (*Overlay, error) {
		return nil, fmt.Errorf("cannot lend the package cache %s: %w", place, err)
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

// Dir is the directory's name below scratch.
func (l *Overlay) Dir() string { return filepath.Base(l.dir) }

// removeLeft removes the directories that nobody uses. What can't be removed is in
// nobody's way.
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

// end removes the directory and lets go of all.
func (l *Overlay) end() error {
	var err error
	if l.dir != "" {
		err = durable.RemoveAll(l.dir)
		_ = os.Remove(filepath.Dir(l.dir)) // unless layers are in it
	}
	for _, f := range []*os.File{l.own, l.cache} {
		if f != nil {
			f.Close()
		}
	}
	return err
}

// Report says what was done to the running system's cache.
type Report struct {
	Kept    []string // files that were added
	Removed []string // files that were removed, as the frontend had done
	// Unknown are files of packages that no list of the running system describes, or
	// describes otherwise.
	Unknown []string
}

// lockPatience is how long to wait for an apt that works in the running system's
// cache: it may be downloading for hours.
const lockPatience = 3 * time.Second

// CopyBack brings the running system's cache up to date when nothing runs any more in
// the sandbox, and ends the loan. lists is where the running system has its lists of
// packages.
func (l *Overlay) CopyBack(lists string) (r Report, err error) {
	defer func() {
		if ended := l.end(); err == nil && ended != nil {
			err = fmt.Errorf("cannot remove what was written to the package cache: %w", ended)
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
		err = fmt.Errorf("cannot keep what was downloaded: %w", err)
	}
	return r, err
}

// openUpper opens the directory with what was written: nil if the sandbox was never
// assembled. It is a copy where the file system can't be below an overlay.
func (l *Overlay) openUpper() (*os.File, error) {
	for _, name := range []string{"upper", "copy"} {
		f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err == nil || !os.IsNotExist(err) {
			return f, err
		}
	}
	return nil, nil
}

// mostMistakes is how many files may have the name and the size of a package but another
// content. apt leaves none. After so many, the other files are not read: a script could
// have made thousands, and apt's lock is held meanwhile.
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

// unchanged says whether a file is in the running system's cache that was there, and
// the same, when the loan began.
func (l *Overlay) unchanged(name string) bool {
	st, err := lstat(l.cache, name)
	was, ok := l.had[name]
	return ok && err == nil && isFile(st) && identify(st) == was
}

// changes tells what a sandbox has written: the files of packages, by their looks, and
// those that it has removed (an overlay's "whiteouts").
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

// most is how many files of a directory are looked at. The largest upgrades have some
// thousands of packages, and scripts may leave any number of files.
const most = 1 << 16

// each calls do for the files in a directory whose names could be those of packages.
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

// looksLikePackage says whether apt could give a file in its cache that name.
func looksLikePackage(name string) bool {
	kind := filepath.Ext(name)
	return strings.Count(strings.TrimSuffix(name, kind), "_") == 2 && (kind == ".deb" || kind == ".ddeb") && name[0] != '.'
}

func lstat(dir *os.File, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func isFile(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
