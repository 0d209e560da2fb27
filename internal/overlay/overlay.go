// Package overlay understands what a sandbox wrote to other file systems: the
// upper layers of overlays (Documentation/filesystems/overlayfs.rst). What was
// added there can be added to the file systems themselves. What was changed or
// deleted is only told, since services went on writing there meanwhile.
package overlay

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// Layer is what was written to a file system.
type Layer struct {
	Mount    string // where it is mounted in the running root, such as "/srv"
	Upper    string // the directory that holds what was written
	Target   string // the file system itself; that it is mounted there is the caller's to know
	Accounts string // the root of the environment, whose accounts say who owns what on either side
}

// Layers finds the layers in a directory in which a sandbox keeps one directory for
// each mount point, with "upper" in it, by mount point. root is that of the mount
// points, "/" as a rule. A scratch directory that isn't there has none.
func Layers(scratch, root, accounts string) ([]Layer, error) {
	entries, err := os.ReadDir(scratch)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read what was written to other file systems: %w", err)
	}
	var layers []Layer
	for _, entry := range entries {
		mount, err := url.PathUnescape(entry.Name())
		if err != nil || !strings.HasPrefix(mount, "/") {
			continue
		}
		upper := filepath.Join(scratch, entry.Name(), "upper")
		if info, err := os.Lstat(upper); err != nil || !info.IsDir() {
			continue // a copy, of a file system that can't be a layer
		}
		layers = append(layers, Layer{Mount: mount, Upper: upper, Target: filepath.Join(root, mount), Accounts: accounts})
	}
	slices.SortFunc(layers, func(a, b Layer) int { return strings.Compare(a.Mount, b.Mount) })
	return layers, nil
}

// Outcome is what became of something in the sandbox.
type Outcome string

// The fates that are told and not done.
const (
	Changed  Outcome = "changed"
	Deleted  Outcome = "deleted"
	Replaced Outcome = "replaced" // a directory: it was deleted, and made anew
	Moved    Outcome = "moved"    // a directory, from elsewhere
)

// Report tells of what is not done to a file system.
type Report struct {
	Path    string // absolute, in the running root
	Outcome Outcome
}

// Additions are what a layer has and its file system has not.
type Additions struct {
	Added    []string // absolute paths, a directory before what is in it
	Reported []Report // what differs otherwise, by path

	names []string // those of Added, in the layer
}

// Find compares a layer with its file system, and changes nothing.
func (l Layer) Find() (Additions, error) {
	found, err := l.with((*finder).find)
	if err != nil {
		return found, fmt.Errorf("cannot tell what was written to %s: %w", l.Mount, err)
	}
	return found, nil
}

// Add adds to the file system what it has not, with data shared where that is
// possible. It may have been done before, in part or whole: what is there is left
// alone. What can't be added doesn't keep the rest from it.
func (l Layer) Add() (Additions, error) {
	found, err := l.with(func(f *finder, name string) error {
		if err := f.find(name); err != nil {
			return err
		}
		return f.add()
	})
	if err != nil {
		return found, fmt.Errorf("cannot add what was written to %s: %w", l.Mount, err)
	}
	return found, nil
}

func (l Layer) with(do func(f *finder, name string) error) (Additions, error) {
	upper, err := rootfs.OpenTree(l.Upper, l.Accounts)
	if err != nil {
		return Additions{}, err
	}
	defer upper.Close()
	target, err := rootfs.OpenTree(l.Target, l.Accounts)
	if err != nil {
		return Additions{}, err
	}
	defer target.Close()
	f := &finder{layer: l, upper: upper, target: target}
	err = do(f, ".")
	return f.found, err
}

// Renumber gives what is in a layer other numbers for its owners, as accounts of
// its environment get them.
func (l Layer) Renumber(users, groups map[uint32]uint32) error {
	_, err := l.with(func(f *finder, name string) error { return f.renumber(name, users, groups, map[uint64]bool{}) })
	if err != nil {
		return fmt.Errorf("cannot renumber what was written to %s: %w", l.Mount, err)
	}
	return nil
}

type finder struct {
	layer         Layer
	upper, target *rootfs.Root
	found         Additions
}

func (f *finder) full(name string) string { return path.Join(f.layer.Mount, name) }

func (f *finder) report(name string, fate Outcome) error {
	f.found.Reported = append(f.found.Reported, Report{f.full(name), fate})
	return nil
}

// find looks at what is in a directory that both have.
func (f *finder) find(dir string) error {
	names, err := f.upper.Names(dir)
	if err != nil {
		return err
	}
	for _, base := range names {
		name := path.Join(dir, base)
		written, err := f.upper.Node(name)
		if err != nil {
			return err
		}
		there, err := f.target.Node(name)
		if err != nil {
			return err
		}
		if err := f.compare(name, written, there); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) compare(name string, written, there merge.Node) error {
	marks := marksOf(written)
	written.Attributes = marks.rest
	switch {
	case isWhiteout(written, marks):
		if there.Kind == merge.Missing {
			return nil
		}
		return f.report(name, Deleted)
	case marks.moved:
		return f.report(name, Moved)
	case there.Kind == merge.Missing && (marks.copied || marks.partial):
		return f.report(name, Changed) // it was there, and is gone since
	case there.Kind == merge.Missing:
		return f.take(name, written)
	case written.Kind != there.Kind || marks.partial:
		return f.report(name, Changed)
	case written.Kind == merge.Directory:
		return f.compareDirectory(name, written, there, marks)
	}
	same := written.Same(there)
	if same && written.Kind == merge.Regular {
		var err error
		if same, err = rootfs.Same(name, f.upper, f.target); err != nil {
			return err
		}
	}
	if !same {
		return f.report(name, Changed)
	}
	return nil
}

func (f *finder) compareDirectory(name string, written, there merge.Node, marks marks) error {
	if marks.opaque {
		inside, err := f.target.Names(name)
		if err != nil {
			return err
		}
		kept, err := f.upper.Names(name)
		if err != nil {
			return err
		}
		// A directory that is new gets the mark too.
		if slices.ContainsFunc(inside, func(n string) bool { return !slices.Contains(kept, n) }) {
			if err := f.report(name, Replaced); err != nil {
				return err
			}
		}
	}
	if !written.Same(there) {
		if err := f.report(name, Changed); err != nil {
			return err
		}
	}
	return f.find(name)
}

// take adds something to what is new, with all that is in it.
func (f *finder) take(name string, written merge.Node) error {
	f.found.Added = append(f.found.Added, f.full(name))
	f.found.names = append(f.found.names, name)
	if written.Kind != merge.Directory {
		return nil
	}
	return f.find(name) // of which the file system has nothing
}

// add does what was found.
func (f *finder) add() error {
	c := &rootfs.Changer{To: f.target, From: f.upper}
	var errs []error
	for _, name := range f.found.names {
		node, err := f.upper.Node(name)
		if err == nil {
			err = c.Copy(name, node, marksOf(node).rest)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot add %s: %w", f.full(name), err))
		}
	}
	return errors.Join(errs...)
}

func (f *finder) renumber(dir string, users, groups map[uint32]uint32, seen map[uint64]bool) error {
	names, err := f.upper.Names(dir)
	if err != nil {
		return err
	}
	for _, base := range names {
		name := path.Join(dir, base)
		node, err := f.upper.Node(name)
		if err == nil && !seen[node.Inode] {
			seen[node.Inode] = true
			err = f.upper.Renumber(name, users, groups)
		}
		if err == nil && node.Kind == merge.Directory {
			err = f.renumber(name, users, groups, seen)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
