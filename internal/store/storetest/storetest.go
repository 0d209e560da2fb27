// Package storetest is the conformance suite of store.Store, which the real
// store and the fake both pass.
package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

// Run runs the suite. Each test calls open for an empty store of its own,
// closes it, and calls nothing of it afterwards.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"Get", testGet},
		{"TopLevel", testTopLevel},
		{"BadPaths", testBadPaths},
		{"SymbolicLinks", testSymbolicLinks},
		{"Create", testCreate},
		{"List", testList},
		{"Locate", testLocate},
		{"Snapshot", testSnapshot},
		{"SnapshotErrors", testSnapshotErrors},
		{"SnapshotLeavesOutNested", testSnapshotLeavesOutNested},
		{"SnapshotOver", testSnapshotOver},
		{"SnapshotOverErrors", testSnapshotOverErrors},
		{"EmptyOver", testEmptyOver},
		{"ReadOnly", testReadOnly},
		{"Generation", testGeneration},
		{"Changed", testChanged},
		{"Nested", testNested},
		{"Rename", testRename},
		{"RenameErrors", testRenameErrors},
		{"RenameReadOnly", testRenameReadOnly},
		{"Exchange", testExchange},
		{"Delete", testDelete},
		{"DeleteErrors", testDeleteErrors},
		{"Shares", testShares},
		{"SharesErrors", testSharesErrors},
		{"Free", testFree},
		{"PathStaysInside", testPathStaysInside},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			defer func() { check(t, s.Close()) }()
			tt.run(t, s)
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

func get(t *testing.T, s store.Store, p string) store.Subvolume {
	t.Helper()
	found, err := s.Get(p)
	check(t, err)
	return found
}

func create(t *testing.T, s store.Store, paths ...string) {
	t.Helper()
	for _, p := range paths {
		check(t, s.Create(p))
	}
}

func write(t *testing.T, s store.Store, p, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(s.Path(p)), 0o755))
	check(t, os.WriteFile(s.Path(p), []byte(content), 0o644))
}

func checkContent(t *testing.T, s store.Store, p, want string) {
	t.Helper()
	got, err := os.ReadFile(s.Path(p))
	if err != nil || string(got) != want {
		t.Errorf("%q holds %q, %v, want %q", p, got, err, want)
	}
}

func checkGone(t *testing.T, s store.Store, p string) {
	t.Helper()
	_, err := os.Lstat(s.Path(p))
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%q is there (%v), want nothing", p, err)
	}
}

func checkPaths(t *testing.T, what string, got []store.Subvolume, err error, want ...string) {
	t.Helper()
	check(t, err)
	var paths []string
	for _, subvolume := range got {
		paths = append(paths, subvolume.Path)
	}
	if !slices.Equal(paths, want) {
		t.Errorf("%s = %q, want %q", what, paths, want)
	}
}
