package store

import "slices"

// ExclusiveUsage is the space that only the named units occupy. It is freed when the
// last of them is deleted. A unit is a set of subvolumes that are deleted together.
type ExclusiveUsage struct {
	Units []int  // unit numbers, ascending
	Bytes uint64 // on the devices: data stored twice counts twice
}

// Accountant is implemented by stores that can compute exclusive usage.
type Accountant interface {
	// ExclusiveUsage computes the space that deleting units would free. A unit is a
	// list of paths of subvolumes; no subvolume may be in two units. Space shared with
	// a subvolume in no unit does not count. Unwritten data (Sync) may be missing.
	// Deletions in progress count as done.
	ExclusiveUsage(units [][]string) ([]ExclusiveUsage, error)
}

// Freed returns the bytes that deleting exactly these units frees.
func Freed(shares []ExclusiveUsage, units ...int) uint64 {
	var freed uint64
	for _, share := range shares {
		if !slices.ContainsFunc(share.Units, func(unit int) bool { return !slices.Contains(units, unit) }) {
			freed += share.Bytes
		}
	}
	return freed
}
