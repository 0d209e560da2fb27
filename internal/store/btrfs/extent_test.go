//go:build cgo

package btrfs

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// le encodes numbers as btrfs does: as a byte, or as a little-endian number of 4 or 8
// bytes, by type.
func le(values ...any) []byte {
	var b []byte
	for _, value := range values {
		b, _ = binary.Append(b, binary.LittleEndian, value)
	}
	return b
}

// entry is an item of a tree.
type entry struct {
	key  key
	item []byte
}

// Kinds of items in the extent tree, from btrfs's description of its disk format.
const (
	extentItem    = 168
	metadataItem  = 169
	treeBlockRef  = 176
	extentDataRef = 178
	blockRef      = 182
	dataRef       = 184
)

func TestExtentReader(t *testing.T) {
	const data, isBlock, full = uint64(1), uint64(2), uint64(1 << 8)
	entries := []entry{
		// Data: two references in the item, one in an item of its own, and the owner
		// for quotas.
		{key{4096, extentItem, 8192}, slices.Concat(
			le(uint64(3), uint64(7), data),
			le(byte(extentOwnerRef), uint64(256)),
			le(byte(extentDataRef), uint64(256), uint64(300), uint64(0), uint32(1)),
			le(byte(dataRef), uint64(65536), uint32(2)))},
		{key{4096, extentDataRef, 0xabcdef}, le(uint64(257), uint64(300), uint64(0), uint32(1))},
		{key{4096, dataRef, 81920}, le(uint32(1))},
		{key{8192, 192, 1 << 30}, make([]byte, 24)}, // a block group
		// Blocks: with the level in the key, and in the old format.
		{key{65536, metadataItem, 1}, slices.Concat(le(uint64(1), uint64(9), isBlock|full), le(byte(blockRef), uint64(98304)))},
		{key{65536, treeBlockRef, 5}, nil},
		{key{65536, blockRef, 114688}, nil},
		{key{81920, extentItem, 16384}, slices.Concat(
			le(uint64(1), uint64(8), isBlock), make([]byte, 17), le(byte(2)), le(byte(treeBlockRef), uint64(5)))},
	}
	want := []extent{
		{at: 4096, size: 8192, generation: 7, data: true, copies: 2, items: 25 + 24 + 9 + 29 + 13 + 25 + 28 + 25 + 4,
			refs: refs(inTree(256), inBlock(65536), inTree(257), inBlock(81920))},
		{at: 65536, generation: 9, full: true, level: 1, copies: 2, items: 25 + 24 + 9 + 25 + 25,
			refs: refs(inBlock(98304), inTree(5), inBlock(114688))},
		{at: 81920, generation: 8, level: 2, copies: 2, items: 25 + 24 + 18 + 9, refs: refs(inTree(5))},
	}
	var got []extent
	reader := &extentReader{copies: 2, emit: func(e *extent) error {
		found := *e
		found.refs = slices.Clone(e.refs)
		got = append(got, found)
		return nil
	}}
	for _, entry := range entries {
		if err := reader.item(entry.key, entry.item); err != nil {
			t.Fatal(err)
		}
	}
	if err := reader.flush(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(extent{}, reference{})); diff != "" {
		t.Errorf("extents (-want +got):\n%s", diff)
	}
}

func TestExtentReaderRefuses(t *testing.T) {
	head := le(uint64(1), uint64(7), uint64(1))
	for name, e := range map[string]entry{
		"short":             {key{0, extentItem, 4096}, head[:23]},
		"an unknown form":   {key{0, extentItem, 4096}, append(slices.Clone(head), make([]byte, 9)...)},
		"half a reference":  {key{0, extentItem, 4096}, slices.Concat(head, le(byte(extentDataRef), uint64(5)))},
		"an old short one":  {key{0, extentItem, 16384}, le(uint64(1), uint64(7), uint64(2))},
		"an item cut short": {key{0, extentDataRef, 1}, make([]byte, 27)},
	} {
		reader := &extentReader{emit: func(*extent) error { return nil }}
		if err := reader.item(e.key, e.item); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func TestParseChunk(t *testing.T) {
	const dataKind, metadataKind = 1, 4
	for _, tt := range []struct {
		kind    uint64
		stripes uint16
		copies  float64
	}{
		{dataKind, 1, 1},
		{dataKind | 1<<3, 4, 1}, // RAID 0
		{metadataKind | 1<<5, 2, 2},
		{metadataKind | 1<<4, 2, 2},
		{dataKind | 1<<6, 4, 2},
		{dataKind | 1<<7, 3, 1.5},
		{dataKind | 1<<8, 6, 1.5},
		{metadataKind | 1<<9, 3, 3},
		{metadataKind | 1<<10, 4, 4},
	} {
		item := slices.Concat(le(uint64(1<<30), uint64(2), uint64(65536), tt.kind, uint32(4096), uint32(4096), uint32(4096), tt.stripes, uint16(1)),
			make([]byte, 32*int(tt.stripes)))
		got, err := parseChunk(key{256, 228, 1 << 40}, item)
		want := chunk{start: 1 << 40, size: 1 << 30, kind: tt.kind, copies: tt.copies}
		if err != nil || got != want {
			t.Errorf("parseChunk of kind %#x = %+v, %v, want %+v", tt.kind, got, err, want)
		}
		if got.data() != (tt.kind&dataKind != 0) || got.metadata() != (tt.kind&metadataKind != 0) {
			t.Errorf("kind %#x: data %v, metadata %v", tt.kind, got.data(), got.metadata())
		}
	}
	if _, err := parseChunk(key{}, make([]byte, 47)); err == nil {
		t.Error("half a chunk is taken")
	}
}

func TestParseRoot(t *testing.T) {
	item := slices.Concat(make([]byte, 160), le(uint64(44)), make([]byte, 48), le(uint32(1)), make([]byte, 219))
	got, err := parseRoot(key{257, 132, 40}, item)
	if want := (root{id: 257, made: 40, generation: 44}); err != nil || got != want {
		t.Errorf("parseRoot = %+v, %v, want %+v", got, err, want)
	}
	item[216] = 0
	if got, err := parseRoot(key{257, 132, 40}, item); err != nil || !got.deleted {
		t.Errorf("parseRoot of a deleted one = %+v, %v", got, err)
	}
	if _, err := parseRoot(key{}, item[:238]); err == nil {
		t.Error("half a root is taken")
	}
}

func TestKeyNext(t *testing.T) {
	const most = ^uint64(0)
	for _, tt := range []struct {
		k, want key
		more    bool
	}{
		{key{1, 2, 3}, key{1, 2, 4}, true},
		{key{1, 2, most}, key{1, 3, 0}, true},
		{key{1, 255, most}, key{2, 0, 0}, true},
		{lastKey, lastKey, false},
	} {
		if got, more := tt.k.next(); got != tt.want || more != tt.more {
			t.Errorf("%v.next() = %v, %v, want %v, %v", tt.k, got, more, tt.want, tt.more)
		}
	}
}
