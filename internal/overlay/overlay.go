// Package overlay reads the files that a sandbox wrote to other file systems, from the
// upper layers of overlays (Documentation/filesystems/overlayfs.rst). Added files can
// be copied to the file systems. Changed and deleted files are only reported, because
// services have continued to write there.
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

// Layer is an upper layer of a file system.
type Layer struct {
	Mount    string // the mount point in the running root, such as "/srv"
	Upper    string // the upper directory
	Target   string // the directory of the file system itself; the caller ensures that it is mounted
	Accounts string // the root of the environment, whose accounts give the names of owners
}

// Layers returns the layers in a scratch directory, by mount point. The scratch
// directory contains a directory with "upper" in it for each mount point. root is the
// root of the mount points, usually "/". A missing scratch directory has no layers.
func Layers(scratch, root, accounts string) ([]Layer, error) {
	entries, err := os.ReadDir(scratch)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the files that were written to other file systems: %w", err)
	}
	var layers []Layer
	for _, entry := range entries {
		mount, err := url.PathUnescape(entry.Name())
		if err != nil || !strings.HasPrefix(mount, "/") {
			continue
		}
		upper := filepath.Join(scratch, entry.Name(), "upper")
		if info, err := os.Lstat(upper); err != nil || !info.IsDir() {
			continue // a copy of a file system that cannot be a lower layer
		}
		layers = append(layers, Layer{Mount: mount, Upper: upper, Target: filepath.Join(root, mount), Accounts: accounts})
	}
	slices.SortFunc(layers, func(a, b Layer) int { return strings.Compare(a.Mount, b.Mount) })
	return layers, nil
}

// Outcome is the result for a path in the sandbox.
type Outcome string

// The outcomes that are only reported.
const (
	Changed  Outcome = "changed"
	Deleted  Outcome = "deleted"
	Replaced Outcome = "replaced" // a directory that was deleted and created again
	Moved    Outcome = "moved"    // a directory that was moved from elsewhere
)

// Report is a change that is not applied to a file system.
type Report struct {
	Path    string // absolute, in the running root
	Outcome Outcome
}

// Additions are the files that a layer has and its file system does not have.
type Additions struct {
	Added    []string // absolute paths, a directory before its content
	Reported []Report // other differences, by path

	names []string // the paths of Added in the layer
}

// Find compares a layer with its file system. It changes nothing.
func (l Layer) Find() (Additions, error) {
	found, err := l.with((*finder).find)
	if err != nil {
		return found, fmt.Errorf("cannot determine the files that were written to %s: %w", l.Mount, err)
	}
	return found, nil
}

// Add copies the additions to the file system, by reflink if possible. Existing files
// are left alone, so it can be repeated. If one file cannot be copied, it continues
// with the others.
func (l Layer) Add() (Additions, error) {
	found, err := l.with(func(f *finder, name string) error {
		if err := f.find(name); err != nil {
			return err
		}
		return f.add()
	})
	if err != nil {
		return found, fmt.Errorf("cannot add the files that were written to %s: %w", l.Mount, err)
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

// Renumber changes the owner numbers of a layer's files according to new numbers of
// accounts.
func (l Layer) Renumber(users, groups map[uint32]uint32) error {
	_, err := l.with(func(f *finder, name string) error { return f.renumber(name, users, groups, map[uint64]bool{}) })
	if err != nil {
		return fmt.Errorf("cannot renumber the files that were written to %s: %w", l.Mount, err)
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

// find compares a directory that exists on both sides.
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
		return f.report(name, Changed) // it existed before, and was deleted since
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
		// New directories have this mark, too.
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

// take adds a path to the additions, with everything below it.
func (f *finder) take(name string, written merge.Node) error {
	f.found.Added = append(f.found.Added, f.full(name))
	f.found.names = append(f.found.names, name)
	if written.Kind != merge.Directory {
		return nil
	}
	return f.find(name) // the file system has nothing of it
}

// add copies the additions.
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
