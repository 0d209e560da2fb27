package dedupe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// infoDir is the directory in which dpkg stores packages' checksums, deb-md5sums(5).
const infoDir = "var/lib/dpkg/info"

// checksumsLimit is the maximum size in bytes of one package's checksums. The largest
// have about 2 MiB.
const checksumsLimit = 64 << 20

// readChecksums calls each with every checksum of a tree's packages and the path of the
// file. It skips packages whose checksums cannot be read: checksums only produce
// candidates.
func readChecksums(root int, each func(sum []byte, path []byte)) {
	fd, err := openBeneath(root, infoDir, unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	entries, err := readDir(fd, make([]byte, direntBytes))
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.kind != unix.DT_REG || !strings.HasSuffix(e.name, ".md5sums") {
			continue
		}
		if data, err := readSmall(fd, e.name); err == nil {
			eachChecksum(data, each)
		}
	}
}

var errTooLarge = errors.New("the file is too large")

// readSmall reads a regular file in an open directory.
func readSmall(dir int, name string) ([]byte, error) {
	fd, err := openBeneath(dir, name, unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errChanged
	}
	if info.Size() > checksumsLimit {
		return nil, errTooLarge
	}
	return io.ReadAll(io.LimitReader(f, checksumsLimit))
}

// eachChecksum parses lines of 32 hexadecimal digits, two blanks, and a path without
// leading slash. It skips other lines.
func eachChecksum(data []byte, each func(sum, path []byte)) {
	const digits = 32
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(line) > digits+2 && line[digits] == ' ' && line[digits+1] == ' ' {
			each(line[:digits], line[digits+2:])
		}
	}
}

// aliases maps top directories that are links into usr, by which packages may still
// name files, to their targets.
type aliases map[string]string

// readAliases reads the aliases of a merged-/usr tree.
func readAliases(root int) aliases {
	found := aliases{}
	buffer := make([]byte, unix.PathMax)
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"} {
		n, err := unix.Readlinkat(root, name, buffer)
		if err != nil {
			continue
		}
		if target := strings.Trim(string(buffer[:n]), "/"); target == "usr/"+name {
			found[name] = target
		}
	}
	return found
}

// resolve returns the path, in the tree, of a package's file.
func (a aliases) resolve(file string) string {
	file = path.Clean(strings.TrimPrefix(file, "/"))
	top, rest, ok := strings.Cut(file, "/")
	if target, found := a[top]; ok && found {
		return target + "/" + rest
	}
	return file
}
