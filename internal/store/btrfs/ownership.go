//go:build cgo

package btrfs

import "slices"

// tree is a subvolume as far as ownership goes.
type tree struct {
	holders holders // its unit, or others; nobody if it is deleted and only its blocks are still there
	made    uint64  // the transaction that made it: 0 if it is no snapshot
	// What shares blocks of this tree's own, up to which generation. A deeper
	// block that is not newer may be below one of those, and is then shared
	// without being listed so.
	heirs map[holders]uint64
}

// ownership knows who has which block of metadata, and tells from that who has
// what data.
//
// The extent tree lists a block under a tree if a block of that tree's own (one
// that was written for it) refers to it, and otherwise under the block that
// refers to it. So a snapshot, which has but a root block of its own, is listed
// where that leads to, and not further down. What it shares below that is found
// from the top: who has a block of a tree's own has all that this block refers
// to, which is never newer.
//
// What somebody shared once, and let go of, can still be taken for shared, if he
// shares newer blocks of the same tree. That takes two writable snapshots, one
// of the other, in different units. Of a snapshot that is never written to,
// such as an environment's base, it is exact; and where it errs, it tells of
// less space.
type ownership struct {
	trees  map[uint64]*tree   // by id
	blocks map[uint64]holders // by address
}

// block is an extent with its references elsewhere.
type block struct {
	extent
	first, end int // its references in blockList.refs
}

// blockList is many blocks in little memory.
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

// newOwnership finds who has each block, and tells of it.
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

// of returns who has an extent whose blocks are known.
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
			continue // no subvolume, or one of a balance that is under way
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

// inherit notes who shares a block with the tree whose own it is: of those that
// it is listed under, the one that was made first, because all others got it by
// a snapshot. If that tree has let go of it, all that it refers to is listed
// under the block, and nobody inherits.
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
