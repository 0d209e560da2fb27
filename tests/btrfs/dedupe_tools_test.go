package btrfs_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// extentsOf returns the location of a file: offset, address and length of its extents,
// by FIEMAP (linux/fiemap.h), after it was written to disk.
func extentsOf(t testing.TB, path string) [][3]uint64 {
	t.Helper()
	const head, each, room = 32, 56, 1000
	f, err := os.Open(path)
	storeMust(t, err)
	defer f.Close()
	args := make([]byte, head+each*room)
	binary.NativeEndian.PutUint64(args[8:], 1<<62) // length
	binary.NativeEndian.PutUint32(args[16:], 1)    // FIEMAP_FLAG_SYNC
	binary.NativeEndian.PutUint32(args[24:], room)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), 0xc020660b, uintptr(unsafe.Pointer(&args[0]))); errno != 0 {
		t.Fatalf("FIEMAP of %s: %v", path, errno)
	}
	var extents [][3]uint64
	for i := range binary.NativeEndian.Uint32(args[20:]) {
		e := args[head+each*i:]
		extents = append(extents, [3]uint64{
			binary.NativeEndian.Uint64(e), binary.NativeEndian.Uint64(e[8:]), binary.NativeEndian.Uint64(e[16:]),
		})
	}
	if len(extents) == 0 || len(extents) == room {
		t.Fatalf("%s has %d extents", path, len(extents))
	}
	return extents
}

var dataLine = regexp.MustCompile(`(?m)^Data, .*used=(\d+)$`)

// dataUsed returns the number of bytes of data in the file system.
func dataUsed(t testing.TB, u *rewritten) int64 {
	t.Helper()
	// The first sync writes dirty data, the second one the space that the first one
	// freed.
	storeMust(t, u.store.Sync())
	storeMust(t, u.store.Sync())
	out, err := exec.Command("btrfs", "filesystem", "df", "-b", u.mount).Output()
	storeMust(t, err)
	match := dataLine.FindSubmatch(out)
	if match == nil {
		t.Fatalf("cannot make sense of this:\n%s", out)
	}
	used, err := strconv.ParseInt(string(match[1]), 10, 64)
	storeMust(t, err)
	return used
}

// blocksOf returns the space of a file of a size on the disk, in bytes.
func blocksOf(size int64) int64 { return (size + 4095) / 4096 * 4096 }

// metadataOf returns the stat(2) data and the extended attributes of a file.
func metadataOf(t testing.TB, path string) string {
	t.Helper()
	var stat unix.Stat_t
	storeMust(t, unix.Lstat(path, &stat))
	value := make([]byte, 100)
	n, err := unix.Getxattr(path, "user.test", value)
	storeMust(t, err)
	return fmt.Sprintf("mode %o links %d owner %d:%d size %d modified %v changed %v attribute %q",
		stat.Mode, stat.Nlink, stat.Uid, stat.Gid, stat.Size, stat.Mtim, stat.Ctim, value[:n])
}

// setNoCOW sets a directory's flag, which new files in it inherit.
func setNoCOW(t testing.TB, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	storeMust(t, err)
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	storeMust(t, err)
	const noCOW = 0x00800000 // FS_NOCOW_FL
	storeMust(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|noCOW)))
}
