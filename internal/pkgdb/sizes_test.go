package pkgdb

import (
	"maps"
	"strings"
	"testing"
)

func TestReadSizes(t *testing.T) {
	const list = `Package: wanted
Architecture: amd64
Version: 2.0
Installed-Size: 10
Description: something
 Version: 9
Size: 4

Package: other
Version: 2.0
Architecture: amd64
Installed-Size: 77

Package: wanted
Version: 1.0
Architecture: amd64
Installed-Size: 20

Package: wanted
Version: 2.0
Architecture: i386
Installed-Size: 30

Version: 3.0
Installed-Size: 40
Package: reversed
Architecture: all

Package: sizeless
Version: 1
Architecture: all

Package: last
Version: 1
Architecture: all
Installed-Size: 50`
	long := "Package: before\nTag: " + strings.Repeat("x", 3<<20) + "\nVersion: 1\nArchitecture: all\nInstalled-Size: 60\n\n"
	wanted := []Binary{
		{"wanted", "2.0", "amd64"}, {"reversed", "3.0", "all"}, {"sizeless", "1", "all"},
		{"last", "1", "all"}, {"before", "1", "all"}, {"nowhere", "1", "all"},
	}
	sizes := map[Binary]uint64{}
	if err := ReadSizes(strings.NewReader(long+list), wanted, sizes); err != nil {
		t.Fatal(err)
	}
	want := map[Binary]uint64{wanted[0]: 10 << 10, wanted[1]: 40 << 10, wanted[3]: 50 << 10, wanted[4]: 60 << 10}
	if !maps.Equal(sizes, want) {
		t.Errorf("sizes are %v, want %v", sizes, want)
	}
}
