package pkgdb

import (
	"io"
	"strconv"

	"pault.ag/go/debian/control"
)

// Binary is one version of a package for one architecture.
type Binary struct{ Package, Version, Arch string }

// binaryOf returns the binary that a paragraph describes.
func binaryOf(p control.Paragraph) (b Binary) {
	b.Package, _ = field(p, "Package")
	b.Version, _ = field(p, "Version")
	b.Arch, _ = field(p, "Architecture")
	return b
}

// ReadSizes reads an archive's package list, and adds the installed sizes of wanted
// packages to sizes, in bytes: their field Installed-Size (deb-control(5)) is in KiB. It
// stops when sizes has all.
func ReadSizes(list io.Reader, wanted []Binary, sizes map[Binary]uint64) error {
	names, binaries := map[string]bool{}, map[Binary]bool{}
	for _, b := range wanted {
		names[b.Package], binaries[b] = true, true
	}
	if len(sizes) >= len(binaries) {
		return nil
	}
	return eachListed(list, func(pkg string) bool { return names[pkg] }, func(p control.Paragraph) bool {
		text, _ := field(p, "Installed-Size")
		if size, _ := strconv.ParseUint(text, 10, 64); size > 0 && binaries[binaryOf(p)] {
			sizes[binaryOf(p)] = size << 10
		}
		return len(sizes) < len(binaries)
	})
}
