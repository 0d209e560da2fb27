package pkgdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Binary is one version of a package for one architecture.
type Binary struct{ Package, Version, Arch string }

// ReadSizes reads an archive's package list, and adds the installed sizes of wanted
// packages to sizes, in bytes: their field Installed-Size (deb-control(5)) is in KiB.
//
// Such a list has about 50 MB, and apt waits. So it parses only the names of other
// packages, and stops when sizes has all.
func ReadSizes(list io.Reader, wanted []Binary, sizes map[Binary]uint64) error {
	names, binaries := map[string]bool{}, map[Binary]bool{}
	for _, b := range wanted {
		names[b.Package], binaries[b] = true, true
	}
	lines := bufio.NewReaderSize(list, 1<<20)
	var found Binary
	var size uint64
	skip := false
	enter := func() {
		if binaries[found] && size > 0 {
			sizes[found] = size << 10
		}
		found, size, skip = Binary{}, 0, false
	}
	for len(sizes) < len(binaries) {
		line, err := readLine(lines)
		if err == io.EOF {
			enter()
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the sizes of packages: %w", err)
		}
		if len(line) == 0 {
			enter()
			continue
		}
		if skip {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "Package":
			if skip = !names[string(value)]; !skip {
				found.Package = string(value)
			}
		case "Version":
			found.Version = string(value)
		case "Architecture":
			found.Arch = string(value)
		case "Installed-Size":
			size, _ = strconv.ParseUint(string(value), 10, 64)
		}
	}
	return nil
}

// readLine returns a line without its end, valid until the next call. It returns the
// beginning of a line that is longer than the buffer.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		begin := bytes.Clone(line[:1<<10])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		line = begin
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}
