package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

func TestCheckPath(t *testing.T) {
	tests := []struct {
		path        string
		ok, okAsNew bool
	}{
		{"@rootfs", true, true},
		{"@be/2026-11-20", true, true},
		{"@be/..hidden", true, true},
		{"a b\nc/\xff", true, true},
		{".", true, false},
		{"", false, false},
		{"/", false, false},
		{"/@be", false, false},
		{"@be/", false, false},
		{"@be//x", false, false},
		{"./@be", false, false},
		{"@be/../@rootfs", false, false},
		{"..", false, false},
		{"../x", false, false},
		{"a\x00b", false, false},
	}
	for _, tt := range tests {
		check := func(name string, err error, ok bool) {
			if (err == nil) != ok || (err != nil && !errors.Is(err, store.ErrBadPath)) {
				t.Errorf("%s(%q) = %v, want ok %v", name, tt.path, err, ok)
			}
		}
		check("CheckPath", store.CheckPath(tt.path), tt.ok)
		check("CheckNewPath", store.CheckNewPath(tt.path), tt.okAsNew)
	}
}

func TestComparePaths(t *testing.T) {
	want := []string{"@a", "@a/b", "@a/b/c", "@a/b-c", "@a-b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, store.ComparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted to %q, want %q", got, want)
	}
}
