package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestMinimum(t *testing.T) {
	origin, tree := t.TempDir(), t.TempDir()
	put := func(root, name string, fill byte, size int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), bytes.Repeat([]byte{fill}, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(origin, "shared", 's', 9000)
	put(origin, "same", 'a', 5000)
	put(origin, "changed", 'b', 5000)
	put(origin, "elsewhere", 'e', 7000)
	put(origin, "grown", 'g', 4000)
	// A hard link represents a file that a snapshot shares.
	if err := os.Link(filepath.Join(origin, "shared"), filepath.Join(tree, "shared")); err != nil {
		t.Fatal(err)
	}
	put(tree, "same", 'a', 5000)    // written again: two blocks
	put(tree, "changed", 'c', 5000) // two blocks
	put(tree, "moved", 'e', 7000)   // existed under another name
	put(tree, "grown", 'g', 4097)   // two blocks
	put(tree, "new", 'n', 4096)     // one
	put(tree, "again", 'n', 4096)   // exists already
	put(tree, "inline", 'i', 2048)  // takes no block
	if err := os.Link(filepath.Join(tree, "new"), filepath.Join(tree, "link")); err != nil {
		t.Fatal(err)
	}
	m, err := minimum(origin, tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Minimum{Bytes: 5 * block, Same: 1, SameBytes: 2 * block}); m != want {
		t.Errorf("%+v, want %+v", m, want)
	}
}

func TestParseSpace(t *testing.T) {
	s, err := parseSpace("Data, single: total=8388608, used=1048576\nSystem, DUP: total=8388608, used=16384\nMetadata, DUP: total=1073741824, used=131072\nGlobalReserve, single: total=3407872, used=7\n")
	if want := (Space{Data: 1048576, Metadata: 131072}); s != want || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseSpace("nothing"); err == nil {
		t.Error("no figures, and no error")
	}
}
