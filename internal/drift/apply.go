package drift

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/parallel"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
)

// ErrRefused reports conflicting changes that only the administrator can resolve.
var ErrRefused = errors.New("both systems changed the file")

// ErrPackages reports that packages of the running system changed.
var ErrPackages = errors.New("packages were installed, removed or upgraded in the running system")

// Apply carries the drift to the target for which it was found. After an error, finding
// and applying the drift again is safe. If a change cannot be carried and an
// unprivileged user may be the cause, Apply skips it and records it in Skipped.
func (d *Drift) Apply(st store.Store, sides Sides) error {
	if err := d.CheckRefused(); err != nil {
		return err
	}
	base, err := Open(st, sides.Base, nil)
	if err != nil {
		return err
	}
	defer base.Close()
	running, err := Open(st, sides.Running, nil)
	if err != nil {
		return err
	}
	defer running.Close()
	target, err := Open(st, sides.Target, nil)
	if err != nil {
		return err
	}
	defer target.Close()
	c := &rootfs.Changer{To: target, From: running, Base: base.Moved(d.moves), OnSkipped: d.stays}
	for inode, path := range d.same {
		c.Present(inode, path)
	}
	if err := d.renumber(target); err != nil {
		return err
	}
	for _, m := range d.moves {
		if err := c.Move(m); err != nil {
			return err
		}
	}
	accounts, rest := d.split()
	before, after := d.renames()
	if err := c.Rename(before); err != nil {
		return err
	}
	for _, change := range accounts {
		if err := apply(c, change); err != nil {
			return err
		}
	}
	if err := target.ReadAccounts(); err != nil {
		return err
	}
	// The content of a directory is removed before the directory, and created after it.
	for _, change := range slices.Backward(rest) {
		if change.deletes() {
			if err := d.try(c, change); err != nil {
				return err
			}
		}
	}
	alone := apart(rest)
	var files []Change
	for _, change := range rest {
		switch {
		case change.deletes():
		case alone(change):
			files = append(files, change)
		default:
			if err := d.try(c, change); err != nil {
				return err
			}
		}
	}
	if err := parallel.Each(len(files), func(i int) error { return d.try(c, files[i]) }); err != nil {
		return err
	}
	if err := c.Rename(after); err != nil {
		return err
	}
	if err := d.makePlaces(c); err != nil {
		return err
	}
	for path, modified := range d.times {
		c.SetTime(path, modified)
	}
	d.noteSkipped()
	return c.Finish()
}

// apart returns a function that reports whether a change only copies a file. Such
// changes can run in any order after their directories exist, unless the file has
// another name among the changes.
func apart(changes []Change) func(Change) bool {
	names := map[uint64]int{}
	for _, c := range changes {
		if c.Running.Kind == merge.Regular {
			names[c.Running.Inode]++
		}
	}
	return func(c Change) bool {
		return c.Source == merge.FromRunning && c.Running.Kind == merge.Regular && !c.KeepTarget && names[c.Running.Inode] == 1
	}
}

// deletes reports whether the change removes the path.
func (c Change) deletes() bool {
	return c.Source == merge.FromRunning && c.Running.Kind == merge.Missing
}

// split separates the account files from all other changes.
func (d *Drift) split() (accounts, rest []Change) {
	for _, change := range d.Changes {
		switch {
		case change.Subvolume:
		case change.Description != "":
			rest = append(rest, change.parts()...)
		case slices.Contains(merge.AccountFiles, change.Path):
			accounts = append(accounts, change)
		default:
			rest = append(rest, change)
		}
	}
	return accounts, rest
}

// apply carries one change.
func apply(c *rootfs.Changer, change Change) error {
	if !change.Decision.Changes(change.Target) {
		return nil
	}
	if change.KeepTarget && change.Target.Kind != merge.Missing {
		if err := c.SetAside(change.Path); err != nil {
			return err
		}
	}
	if change.KeepRunning {
		if err := c.CopyBeside(change.Path, change.Running); err != nil {
			return err
		}
	}
	if change.deletes() {
		if change.Whole {
			return c.RemoveTree(change.Path)
		}
		return c.Remove(change.Path)
	}
	switch change.Source {
	case merge.FromRunning:
		if change.Whole && change.Running.Kind == merge.Directory {
			return c.CopyTree(change.Path, change.Running, change.Attributes)
		}
		return c.Copy(change.Path, change.Running, change.Attributes)
	case merge.FromMerged:
		if change.Action == merge.Append {
			return c.Append(change.Path, change.Attributes)
		}
		return c.Write(change.Path, change.Content, change.Attributes)
	case merge.FromTarget:
		if change.Target.Kind == merge.Missing {
			return nil
		}
	}
	return c.SetAttributes(change.Path, change.Attributes)
}

// Numbers returns the new numbers of the target's users and groups, by the old ones.
func (d *Drift) Numbers() (users, groups map[uint32]uint32) {
	users, groups = map[uint32]uint32{}, map[uint32]uint32{}
	for _, r := range d.Renumbered {
		if r.Group {
			groups[r.From] = r.To
		} else {
			users[r.From] = r.To
		}
	}
	return users, groups
}

// renumber changes the owner numbers of the target's files to the accounts' new
// numbers. Only files that the target changed can be affected, because the accounts are
// new there.
func (d *Drift) renumber(target *rootfs.Root) error {
	users, groups := d.Numbers()
	if len(users)+len(groups) == 0 {
		return nil
	}
	seen := map[uint64]bool{} // a file with two names must be renumbered only once
	for _, path := range d.targetChanged {
		node, err := target.Node(path)
		if err != nil {
			return err
		}
		if seen[node.Inode] {
			continue
		}
		seen[node.Inode] = true
		if err := target.Renumber(path, users, groups); err != nil {
			return fmt.Errorf("cannot change the owner of /%s: %w", path, err)
		}
	}
	return nil
}
