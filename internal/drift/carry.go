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

// ErrRefused says that something has to be decided on before.
var ErrRefused = errors.New("both systems changed that")

// ErrPackages says that packages were changed in the running system.
var ErrPackages = errors.New("packages were installed, removed or upgraded in the running system")

// Carry carries the drift over to the environment that it was found of. What
// it did before an error is no harm: it can be found again, and carried again.
// What somebody but root may have made such that it can't be carried is no error: it
// stays behind, and is among the changes as such afterwards.
func (d *Drift) Carry(st store.Store, sides Sides) error {
	if err := d.CheckRefused(); err != nil {
		return err
	}
	base, err := Open(st, sides.Base, nil)
	if err != nil {
		return err
	}
	defer base.Close()
	live, err := Open(st, sides.Live, nil)
	if err != nil {
		return err
	}
	defer live.Close()
	next, err := Open(st, sides.Next, nil)
	if err != nil {
		return err
	}
	defer next.Close()
	c := &rootfs.Changer{To: next, From: live, Base: base.Moved(d.moves), Behind: d.stays}
	for inode, path := range d.same {
		c.Has(inode, path)
	}
	if err := d.renumber(next); err != nil {
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
		if err := carry(c, change); err != nil {
			return err
		}
	}
	if err := next.ReadAccounts(); err != nil {
		return err
	}
	// What is in a directory goes before it, and comes after it.
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
	d.tellBehind()
	return c.Finish()
}

// apart returns a function that says whether a change is of a file that is copied
// as it is, which can be done in any order once the directories are there, unless it
// has another name among the changes.
func apart(changes []Change) func(Change) bool {
	names := map[uint64]int{}
	for _, c := range changes {
		if c.Live.Kind == merge.Regular {
			names[c.Live.Inode]++
		}
	}
	return func(c Change) bool {
		return c.Thing == merge.FromLive && c.Live.Kind == merge.Regular && !c.Aside && names[c.Live.Inode] == 1
	}
}

// deletes says whether there is nothing afterwards.
func (c Change) deletes() bool { return c.Thing == merge.FromLive && c.Live.Kind == merge.Missing }

// split separates the account files from all else that is a file.
func (d *Drift) split() (accounts, rest []Change) {
	for _, change := range d.Changes {
		switch {
		case change.Subvolume:
		case change.What != "":
			rest = append(rest, change.parts()...)
		case slices.Contains(merge.AccountFiles, change.Path):
			accounts = append(accounts, change)
		default:
			rest = append(rest, change)
		}
	}
	return accounts, rest
}

// carry does what was decided on a path.
func carry(c *rootfs.Changer, change Change) error {
	if !change.Decision.Changes(change.Next) {
		return nil
	}
	if change.Aside && change.Next.Kind != merge.Missing {
		if err := c.SetAside(change.Path); err != nil {
			return err
		}
	}
	if change.Beside {
		if err := c.CarryBeside(change.Path, change.Live); err != nil {
			return err
		}
	}
	if change.deletes() {
		if change.Whole {
			return c.RemoveWhole(change.Path)
		}
		return c.Remove(change.Path)
	}
	switch change.Thing {
	case merge.FromLive:
		if change.Whole && change.Live.Kind == merge.Directory {
			return c.CarryWhole(change.Path, change.Live, change.Attributes)
		}
		return c.Carry(change.Path, change.Live, change.Attributes)
	case merge.FromMerged:
		if change.Action == merge.Append {
			return c.Append(change.Path, change.Attributes)
		}
		return c.Write(change.Path, change.Content, change.Attributes)
	case merge.FromNext:
		if change.Next.Kind == merge.Missing {
			return nil
		}
	}
	return c.SetAttributes(change.Path, change.Attributes)
}

// Numbers are those that accounts of the environment get, by the ones that they
// had.
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

// renumber gives the files of accounts that get another number to that number.
// They are among those that the environment has changed: before, nobody had it.
func (d *Drift) renumber(next *rootfs.Root) error {
	users, groups := d.Numbers()
	if len(users)+len(groups) == 0 {
		return nil
	}
	seen := map[uint64]bool{} // a file with two names is not to be renumbered twice
	for _, path := range d.nextChanged {
		node, err := next.Node(path)
		if err != nil {
			return err
		}
		if seen[node.Inode] {
			continue
		}
		seen[node.Inode] = true
		if err := next.Renumber(path, users, groups); err != nil {
			return fmt.Errorf("cannot give /%s to whom it belongs: %w", path, err)
		}
	}
	return nil
}
