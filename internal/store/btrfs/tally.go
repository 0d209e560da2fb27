//go:build cgo

package btrfs

import (
	"slices"

	"github.com/apt-be/apt-be/internal/store"
)

// geometry has the parameters of a file system, in bytes.
type geometry struct {
	node     uint64 // a block of a tree
	sector   uint64 // the unit of data
	checksum uint64 // of a sector
}

// filled is the average fill level of leaves in the trees of checksums and extents:
// deleting items frees the items' size divided by it. Real deletions of packages showed
// between 0.75 and 1.
const filled = 0.9

// tally adds up the space of each set of units.
type tally struct {
	geometry geometry
	copies   float64 // of metadata
	by       map[holders]*amount
}

// amount is in bytes.
type amount struct {
	stored float64 // on the devices
	items  float64 // in the trees of checksums and extents, counted once
}

func newTally(g geometry, metadata []chunk) *tally {
	t := &tally{geometry: g, copies: 1, by: map[holders]*amount{}}
	if len(metadata) > 0 {
		t.copies = metadata[len(metadata)-1].copies // the place of new blocks
	}
	return t
}

func (t *tally) of(h holders) *amount {
	a := t.by[h]
	if a == nil {
		a = &amount{}
		t.by[h] = a
	}
	return a
}

// addBlock adds a block of a tree.
func (t *tally) addBlock(e *extent, h holders) {
	a := t.of(h)
	a.stored += float64(t.geometry.node) * e.copies
	a.items += float64(e.items)
}

// addData adds data. A whole extent stays while any part is in use.
func (t *tally) addData(e *extent, h holders) {
	a := t.of(h)
	a.stored += float64(e.size) * e.copies
	a.items += float64(e.items) + float64(e.size/t.geometry.sector*t.geometry.checksum)
}

// join adds another tally.
func (t *tally) join(other *tally) {
	for h, b := range other.by {
		a := t.of(h)
		a.stored += b.stored
		a.items += b.items
	}
}

// shares returns the space that only units use, in bytes.
func (t *tally) shares(sets *holderSets) []store.ExclusiveUsage {
	var found []store.ExclusiveUsage
	for h, a := range t.by {
		if h != nobody && h != others {
			found = append(found, store.ExclusiveUsage{Units: sets.units(h), Bytes: uint64(a.stored + a.items*t.copies/filled)})
		}
	}
	slices.SortFunc(found, func(a, b store.ExclusiveUsage) int { return slices.Compare(a.Units, b.Units) })
	return found
}
