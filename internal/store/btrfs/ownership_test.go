//go:build cgo

package btrfs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/internal/store"
)

// inTree and inBlock return references.
func inTree(id uint64) reference      { return reference{false, id} }
func inBlock(at uint64) reference     { return reference{true, at} }
func refs(r ...reference) []reference { return r }

// forest describes blocks by address, and returns the holders of each: "" for none, "+"
// for others, or the letters of units.
func forest(trees map[uint64]*tree, sets *holderSets, blocks ...extent) map[uint64]string {
	var list blockList
	for i := range blocks {
		list.add(&blocks[i])
	}
	found := map[uint64]string{}
	newOwnership(trees, []blockList{list}, newUnions(sets), func(b *extent, h holders) { found[b.at] = nameOf(sets, h) })
	return found
}

func nameOf(sets *holderSets, h holders) string {
	switch h {
	case nobody:
		return ""
	case others:
		return "+"
	}
	name := ""
	for _, unit := range sets.units(h) {
		name += string(rune('a' + unit))
	}
	return name
}

// An origin (5), its base (256) of transaction 10, and an environment (257), a snapshot
// of the base, of transaction 11.
func TestOwnershipOfEnvironment(t *testing.T) {
	sets := newHolderSets()
	unit := sets.of([]int{0})
	trees := map[uint64]*tree{5: {holders: others}, 256: {holders: unit, made: 10}, 257: {holders: unit, made: 11}}
	got := forest(trees, sets,
		// The roots. The origin's root was written again after the snapshot.
		extent{at: 1, level: 2, generation: 20, refs: refs(inTree(5))},
		extent{at: 2, level: 2, generation: 10, refs: refs(inTree(256))},
		extent{at: 3, level: 2, generation: 12, refs: refs(inTree(257))},
		// A node of all three. The blocks below are listed once.
		extent{at: 10, level: 1, generation: 9, refs: refs(inTree(5), inTree(256), inTree(257))},
		extent{at: 11, generation: 5, refs: refs(inTree(5))},
		// A node that the origin has replaced, with a leaf that the origin has
		// replaced, too, and a leaf that it still has.
		extent{at: 20, level: 1, generation: 8, full: true, refs: refs(inTree(256), inTree(257))},
		extent{at: 21, generation: 8, full: true, refs: refs(inBlock(20))},
		extent{at: 22, generation: 8, refs: refs(inBlock(20), inTree(5))},
		extent{at: 23, level: 1, generation: 20, refs: refs(inTree(5))},
		extent{at: 24, generation: 20, refs: refs(inTree(5))},
		// A node that the environment has replaced.
		extent{at: 30, level: 1, generation: 12, refs: refs(inTree(257))},
		extent{at: 31, generation: 12, refs: refs(inTree(257))},
		// A block of a balance, and a block of another tree.
		extent{at: 40, generation: 12, refs: refs(inTree(^uint64(7)))},
		extent{at: 41, generation: 12, refs: refs(inTree(2))},
	)
	want := map[uint64]string{
		1: "+", 2: "a", 3: "a", 10: "+", 11: "+", 20: "a", 21: "a", 22: "+", 23: "+", 24: "+", 30: "a", 31: "a", 40: "", 41: "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

// An environment (256, unit a) with a snapshot (257, unit b) of transaction 20.
func TestOwnershipOfSnapshot(t *testing.T) {
	sets := newHolderSets()
	trees := map[uint64]*tree{
		256: {holders: sets.of([]int{0}), made: 10},
		257: {holders: sets.of([]int{1}), made: 20},
	}
	got := forest(trees, sets,
		extent{at: 1, level: 3, generation: 30, refs: refs(inTree(256))},
		extent{at: 2, level: 3, generation: 20, refs: refs(inTree(257))},
		// Two levels below a shared node.
		extent{at: 10, level: 2, generation: 15, refs: refs(inTree(256), inTree(257))},
		extent{at: 11, level: 1, generation: 14, refs: refs(inTree(256))},
		extent{at: 12, generation: 14, refs: refs(inTree(256))},
		// A block that the origin wrote after the snapshot cannot be in the snapshot.
		extent{at: 20, level: 2, generation: 30, refs: refs(inTree(256))},
		extent{at: 21, level: 1, generation: 25, refs: refs(inTree(256))},
		extent{at: 22, generation: 21, refs: refs(inTree(256))},
		// A block that the snapshot wrote is not the origin's, although they share
		// older blocks.
		extent{at: 30, level: 2, generation: 22, refs: refs(inTree(257))},
		extent{at: 31, generation: 22, refs: refs(inTree(257))},
		// An old leaf that only a new node of the snapshot refers to: the origin no
		// longer uses it.
		extent{at: 32, generation: 13, full: true, refs: refs(inTree(257))},
	)
	want := map[uint64]string{
		1: "a", 2: "b", 10: "ab", 11: "ab", 12: "ab", 20: "a", 21: "a", 22: "a", 30: "b", 31: "b", 32: "b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

// The tree under which blocks are listed is deleted but still exists on the disk. The
// other owners are found all the same.
func TestOwnershipOfDeleted(t *testing.T) {
	sets := newHolderSets()
	trees := map[uint64]*tree{
		256: {holders: nobody, made: 10},
		257: {holders: sets.of([]int{0}), made: 20},
		258: {holders: others, made: 21},
	}
	got := forest(trees, sets,
		extent{at: 1, level: 2, generation: 10, refs: refs(inTree(256))},
		extent{at: 10, level: 1, generation: 15, refs: refs(inTree(256), inTree(257))},
		extent{at: 11, generation: 14, refs: refs(inTree(256))},
		extent{at: 12, generation: 16, refs: refs(inTree(256))},
	)
	want := map[uint64]string{1: "", 10: "a", 11: "a", 12: ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

func TestOwnershipOfData(t *testing.T) {
	sets := newHolderSets()
	unit := sets.of([]int{0})
	o := &ownership{
		trees: map[uint64]*tree{
			5:   {holders: others},
			256: {holders: unit, made: 10, heirs: map[holders]uint64{sets.of([]int{0, 1}): 20}},
		},
		blocks: map[uint64]holders{100: unit, 200: others},
	}
	for _, tt := range []struct {
		name string
		e    extent
		want string
	}{
		{"its own", extent{generation: 21, refs: refs(inTree(256))}, "a"},
		{"old enough to be in a snapshot", extent{generation: 20, refs: refs(inTree(256))}, "ab"},
		{"in a certain leaf", extent{generation: 5, refs: refs(inBlock(100))}, "a"},
		{"in a leaf of others too", extent{generation: 30, refs: refs(inTree(256), inBlock(200))}, "+"},
		{"reflinked by others", extent{generation: 30, refs: refs(inTree(256), inTree(5))}, "+"},
		{"in no file", extent{generation: 30}, ""},
	} {
		if got := nameOf(sets, o.of(&tt.e, newUnions(sets))); got != tt.want {
			t.Errorf("%s: %q has it, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTally(t *testing.T) {
	sets := newHolderSets()
	a, both := sets.of([]int{0}), sets.of([]int{0, 1})
	g := geometry{node: 16384, sector: 4096, checksum: 4}
	total := newTally(g, []chunk{{copies: 2}})
	total.addBlock(&extent{copies: 2, items: 9}, a)
	part := newTally(g, []chunk{{copies: 2}})
	part.addData(&extent{size: 8192, copies: 1, items: 19}, a)
	part.addData(&extent{size: 4096, copies: 3}, both)
	part.addData(&extent{size: 1 << 20, copies: 3}, others)
	part.addData(&extent{size: 1 << 20, copies: 3}, nobody)
	total.join(part)
	want := []store.ExclusiveUsage{
		{Units: []int{0}, Bytes: 2*16384 + 8192 + 2*(9+19+8)/filled},
		{Units: []int{0, 1}, Bytes: 3*4096 + 8},
	}
	if diff := cmp.Diff(want, total.shares(sets)); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}
