//go:build cgo

package btrfs

import (
	"encoding/binary"
	"slices"
	"testing"
)

// item returns one item in the format of a tree search.
func item(other, dir uint64, name string) []byte {
	b := make([]byte, searchHeaderSize+rootRefSize)
	binary.NativeEndian.PutUint64(b[16:], other)
	binary.NativeEndian.PutUint32(b[28:], uint32(rootRefSize+len(name)))
	ref := b[searchHeaderSize:]
	binary.LittleEndian.PutUint64(ref, dir)
	binary.LittleEndian.PutUint16(ref[16:], uint16(len(name)))
	return append(b, name...)
}

func TestParseLinks(t *testing.T) {
	two := append(item(257, 256, "machines"), item(300, 4711, "a b\n\xff")...)
	longName := item(257, 256, "x")
	binary.LittleEndian.PutUint16(longName[searchHeaderSize+16:], 2)
	tests := []struct {
		name string
		buf  []byte
		n    int
		want []link
		ok   bool
	}{
		{"two", append(two, make([]byte, 100)...), 2, []link{{257, 256, "machines"}, {300, 4711, "a b\n\xff"}}, true},
		{"the first of two", two, 1, []link{{257, 256, "machines"}}, true},
		{"none", two, 0, nil, true},
		{"no header", nil, 1, nil, false},
		{"cut off", two[:len(two)-1], 2, nil, false},
		{"no item", make([]byte, 100), 1, nil, false},
		{"name longer than the item", longName, 1, nil, false},
	}
	for _, tt := range tests {
		got, err := parseLinks(tt.buf, tt.n)
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("%s: parseLinks = %+v, %v, want %+v, ok %v", tt.name, got, err, tt.want, tt.ok)
		}
	}
}

func TestUUID(t *testing.T) {
	if got := uuid([16]byte{}); got != "" {
		t.Errorf("uuid(nil) = %q, want none", got)
	}
	b := [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef, 0x80, 0, 0, 0, 0, 0, 0, 0x0f}
	if got, want := uuid(b), "01234567-89ab-4def-8000-00000000000f"; got != want {
		t.Errorf("uuid = %q, want %q", got, want)
	}
}
