package pkgdb

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func installed(name, arch, version string) Package {
	return Package{Name: name, Arch: arch, Version: version, Want: "install", Flag: "ok", Status: "installed"}
}

func TestCompare(t *testing.T) {
	from := &DB{Packages: []Package{
		installed("down", "amd64", "2"),
		installed("equal", "amd64", "1.0"),
		installed("gone", "amd64", "1"),
		installed("lib", "amd64", "1"),
		installed("lib", "i386", "1"),
		{Name: "once", Arch: "all", Version: "1", Want: "deinstall", Flag: "ok", Status: "config-files"},
		installed("same", "amd64", "1"),
		installed("switch", "amd64", "1"),
		installed("up", "amd64", "1.0~rc1"),
	}}
	to := &DB{Packages: []Package{
		installed("another", "all", "0"),
		installed("down", "amd64", "1"),
		installed("equal", "amd64", "1.0-0"),
		{Name: "gone", Arch: "amd64", Version: "1", Want: "deinstall", Flag: "ok", Status: "config-files"},
		installed("lib", "amd64", "2"),
		installed("once", "all", "2"),
		installed("same", "amd64", "1"),
		installed("switch", "all", "1.1"),
		{Name: "up", Arch: "amd64", Version: "1.0", Want: "install", Flag: "ok", Status: "unpacked"},
	}}
	got, err := Compare(from, to)
	if err != nil {
		t.Fatal(err)
	}
	want := Diff{
		Added:      []Change{{Name: "another", Arch: "all", To: "0"}, {Name: "once", Arch: "all", To: "2"}},
		Removed:    []Change{{Name: "gone", Arch: "amd64", From: "1"}, {Name: "lib", Arch: "i386", From: "1"}},
		Upgraded:   []Change{{Name: "lib", Arch: "amd64", From: "1", To: "2"}, {Name: "switch", Arch: "all", From: "1", To: "1.1"}, {Name: "up", Arch: "amd64", From: "1.0~rc1", To: "1.0"}},
		Downgraded: []Change{{Name: "down", Arch: "amd64", From: "2", To: "1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Compare (-want +got):\n%s", diff)
	}
	if got.Len() != 8 {
		t.Errorf("Len is %d", got.Len())
	}
	none, err := Compare(from, from)
	if err != nil || none.Len() != 0 {
		t.Errorf("with itself: %v, %v", none, err)
	}
	if _, err := Compare(&DB{Packages: []Package{installed("p", "all", "")}}, &DB{Packages: []Package{installed("p", "all", "1")}}); err == nil {
		t.Error("an empty version was compared")
	}
}
