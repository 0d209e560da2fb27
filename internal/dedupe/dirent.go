package dedupe

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// dirent is an entry of a directory. For a nested subvolume, the inode number differs
// from stat(2)'s.
type dirent struct {
	inode uint64
	kind  byte // unix.DT_REG and so on
	name  string
}

// direntBytes is the number of bytes to read from a directory at a time.
const direntBytes = 64 << 10

// readDir returns the entries of an open directory, without "." and "..".
func readDir(fd int, buffer []byte) ([]dirent, error) {
	var all []dirent
	for {
		n, err := unix.Getdents(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return all, err
		}
		all = appendDirents(all, buffer[:n])
	}
}

// appendDirents parses the result of getdents64(2): records of an inode number, an
// offset, the record's length, a type, and a name that ends with NUL.
func appendDirents(all []dirent, data []byte) []dirent {
	const head = 8 + 8 + 2 + 1
	for len(data) > head {
		length := int(binary.NativeEndian.Uint16(data[16:]))
		if length <= head || length > len(data) {
			return all
		}
		name := data[head:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if s := string(name); s != "." && s != ".." {
			all = append(all, dirent{binary.NativeEndian.Uint64(data), data[18], s})
		}
		data = data[length:]
	}
	return all
}
