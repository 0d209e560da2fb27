package store

import "slices"

// ExclusiveUsage is space that one or more units hold, and nobody else does: it is given
// back when the last of them is deleted. A unit is a set of subvolumes that are
// only deleted together.
type ExclusiveUsage struct {
	Units []int  // by their number, ascending
	Bytes uint64 // on the devices: what is stored twice counts twice
}

// Accountant is implemented by stores that can tell who holds what space.
type Accountant interface {
	// ExclusiveUsage tells what would be given back if units, each a list of paths of
	// subvolumes, were deleted. No subvolume may be in two units. What is shared
	// with a subvolume in no unit is in no share. What was written and has not
	// reached the file system yet (Sync) may be missing. It tells of the file
	// system as a whole, deletions that are still under way counted as done.
	ExclusiveUsage(units [][]string) ([]ExclusiveUsage, error)
}

// Freed is how many bytes are given back if these units are deleted, and no
// others.
func Freed(shares []ExclusiveUsage, units ...int) uint64 {
	var freed uint64
	for _, share := range shares {
		if !slices.ContainsFunc(share.Units, func(unit int) bool { return !slices.Contains(units, unit) }) {
			freed += share.Bytes
		}
	}
	return freed
}
