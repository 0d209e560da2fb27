//go:build cgo

package btrfs

import "slices"

// tree is a subvolume with its owner.
type tree struct {
	holders holders // its unit, or others; none if it is deleted and only its blocks remain
	made    uint64  // the transaction that created it: 0 if it is not a snapshot
	// Owners that share this tree's own blocks, each up to a generation. A deeper block
	// that is not newer may be below one of those, and is then shared without a
	// reference of its own.
	heirs map[holders]uint64
}

// ownership finds the owners of each block of metadata, and from these the owners of
// data.
//
// The extent tree lists a block under a tree if one of that tree's own blocks (written
// for it) refers to it, and otherwise under the block that refers to it. So a snapshot,
// which only has a root block of its own, is listed for the blocks directly below that
// root, and not further down. The deeper sharing is found from the top: an owner of a
// tree's own block has everything that this block refers to, which is never newer.
//
// A block that an owner shared once and no longer uses can still count as shared, if
// the owner shares newer blocks of the same tree. This needs two writable snapshots,
// one of the other, in different units. For a snapshot that is never written to, such
// as an environment's base, the result is exact. If it is wrong, it reports less
// exclusive space.
type ownership struct {
	trees  map[uint64]*tree   // by id
	blocks map[uint64]holders // by address
}

// block is an extent with its references elsewhere.
type block struct {
	extent
	first, end int // its references in blockList.refs
}

// blockList has many blocks in little memory.
type blockList struct {
	blocks []block
	refs   []reference
}

func (l *blockList) add(e *extent) {
	b := block{extent: *e, first: len(l.refs)}
	l.refs = append(l.refs, e.refs...)
	b.end, b.extent.refs = len(l.refs), nil
	l.blocks = append(l.blocks, b)
}

// newOwnership finds the owners of each block.
func newOwnership(trees map[uint64]*tree, lists []blockList, u *unions, tell func(b *extent, h holders)) *ownership {
	o := &ownership{trees, map[uint64]holders{}}
	var levels [8][]*block // BTRFS_MAX_LEVEL
	for i := range lists {
		list := &lists[i]
		for j := range list.blocks {
			b := &list.blocks[j]
			b.refs = list.refs[b.first:b.end]
			level := min(int(b.level), len(levels)-1)
			levels[level] = append(levels[level], b)
		}
	}
	for _, level := range slices.Backward(levels[:]) {
		for _, b := range level {
			h := o.of(&b.extent, u)
			o.blocks[b.at] = h
			tell(&b.extent, h)
		}
		for _, b := range level {
			o.inherit(&b.extent)
		}
	}
	return o
}

// of returns the owners of an extent whose blocks are known.
func (o *ownership) of(e *extent, u *unions) holders {
	h := nobody
	for _, ref := range e.refs {
		if h == others {
			break
		}
		if ref.block {
			h = u.union(h, o.blocks[ref.of])
			continue
		}
		t := o.trees[ref.of]
		if t == nil {
			continue // not a subvolume, or one of a running balance
		}
		h = u.union(h, t.holders)
		for heirs, generation := range t.heirs {
			if generation >= e.generation {
				h = u.union(h, heirs)
			}
		}
	}
	return h
}

// inherit records the owners that share a block with the block's own tree. Of the trees
// that list it, it takes the oldest, because the others got the block by a snapshot. If
// the own tree no longer uses the block, everything below is listed under the block,
// and no owner inherits.
func (o *ownership) inherit(b *extent) {
	if b.full {
		return
	}
	var owner *tree
	for _, ref := range b.refs {
		if t := o.trees[ref.of]; !ref.block && t != nil && (owner == nil || t.made < owner.made) {
			owner = t
		}
	}
	if h := o.blocks[b.at]; owner != nil && owner.holders != others && h != owner.holders && owner.heirs[h] < b.generation {
		if owner.heirs == nil {
			owner.heirs = map[holders]uint64{}
		}
		owner.heirs[h] = b.generation
	}
}
