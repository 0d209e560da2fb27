package inside

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/debcache"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// hideCaches replaces mounts at apt's package cache, or below it, by mounts whose
// contents are discarded. Scripts that run beside a frontend do not need the cache, and
// additions to other mounts may be published.
func (l *Launcher) hideCaches(shares []sandbox.ForeignMount, silent []sandbox.UnresponsiveMount) []sandbox.ForeignMount {
	for _, place := range []string{debcache.Place, l.cache} {
		if place != "" {
			shares = hideCache(shares, silent, place)
		}
	}
	return shares
}

func hideCache(shares []sandbox.ForeignMount, silent []sandbox.UnresponsiveMount, place string) []sandbox.ForeignMount {
	shares = slices.DeleteFunc(shares, func(s sandbox.ForeignMount) bool { return isIn(s.Target, place) })
	if slices.ContainsFunc(silent, func(s sandbox.UnresponsiveMount) bool { return isIn(place, s.Dir) }) {
		return shares // the mount would never answer
	}
	real, err := filepath.EvalSymlinks(place)
	if err != nil {
		return shares // apt reports the error
	}
	cache := sandbox.ForeignMount{Target: place, Volatile: true}
	if on := holder(shares, real); on.Copy {
		cache.Copy, cache.Volatile = true, false // read-only, until it has a scratch directory
	}
	return append(shares, cache)
}

// holder returns the innermost mount that contains a path.
func holder(shares []sandbox.ForeignMount, path string) (innermost sandbox.ForeignMount) {
	for _, share := range shares {
		if isIn(path, share.Target) && len(share.Target) > len(innermost.Target) {
			innermost = share
		}
	}
	return innermost
}

// isIn reports whether path is dir or below dir.
func isIn(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// LendCache gives a sandbox that is about to start an overlay of apt's package cache.
// After giveBack, downloads are in the running system's cache, whatever the result of
// the upgrade.
func (l *Launcher) LendCache(spec *sandbox.Spec, root Root, reads Places) (giveBack func()) {
	if root.ReadOnly {
		return func() {}
	}
	place := debcache.Place
	if own := filepath.Clean(cmp.Or(reads.Cache, place)); own != place && !isHidden(own) && isCache(own) {
		place, l.cache = own, own
		spec.ForeignMounts = hideCache(spec.ForeignMounts, nil, own) // isCache has already got an answer from the mount
	}
	at := slices.IndexFunc(spec.ForeignMounts, func(share sandbox.ForeignMount) bool { return share.Target == place })
	if at < 0 {
		return func() {}
	}
	scratch := be.ScratchDir(root.UUID)
	loan, err := debcache.Open(place, l.Store.Path(scratch))
	if err != nil {
		l.Log.Warn(err)
		spec.ForeignMounts = slices.Delete(spec.ForeignMounts, at, at+1) // the overlay has its own directory below
		return func() {}
	}
	spec.ForeignMounts[at].Volatile, spec.ForeignMounts[at].Scratch = false, filepath.Join(scratch, loan.Dir())
	return func() {
		report, err := loan.CopyBack(cmp.Or(reads.Lists, pkgdb.ListsDir))
		if err != nil {
			l.Log.Warn(err)
		}
		if n := len(report.Unknown); n > 0 {
			l.Log.Warnf("cannot keep %d of the package files that were written to %s: they are not what the running system's lists of packages describe", n, place)
		}
		l.Log.Debugf("package cache %s: %d files added, %d removed", place, len(report.Kept), len(report.Removed))
	}
}

// isCache reports whether a directory contains only the files of apt's package cache.
// In other directories the sandbox must keep the files that packages write.
func isCache(dir string) bool {
	if !filepath.IsAbs(dir) {
		return false
	}
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0 && !slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		name := entry.Name()
		return name != "lock" && name != "partial" && name != "lost+found" && filepath.Ext(name) != ".deb" && filepath.Ext(name) != ".ddeb"
	})
}
