package rootfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostXattrs is the maximum size of a file's extended attributes in bytes, names and
// values together. They are held in memory for three sides, and any user can create
// more.
const mostXattrs = 4 << 20

var errXattrs = fmt.Errorf("its extended attributes exceed %d MiB", mostXattrs>>20)

// xattrs returns the extended attributes of an O_PATH descriptor's file.
func xattrs(fd int) (map[string]string, error) {
	// fgetxattr(2) does not accept an O_PATH descriptor, but its link in /proc works.
	link := "/proc/self/fd/" + strconv.Itoa(fd)
	list, err := read(func(buf []byte) (int, error) { return unix.Listxattr(link, buf) })
	if errors.Is(err, unix.E2BIG) {
		return manyXattrs(fd)
	}
	if errors.Is(err, unix.ENOTSUP) || len(list) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("listxattr", err)
	}
	found, size := map[string]string{}, 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		value, err := read(func(buf []byte) (int, error) { return unix.Getxattr(link, name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("getxattr", err)
		}
		if size += len(name) + len(value); size > mostXattrs {
			return nil, errXattrs
		}
		found[name] = string(value)
	}
	return found, nil
}

// read calls a function that fills a buffer, and enlarges the buffer until the result
// fits. The kernel lists at most 64 KiB (XATTR_LIST_MAX: E2BIG), and no value is
// larger.
func read(fill func(buf []byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := fill(buf)
		if errors.Is(err, unix.ERANGE) && size < 64<<10 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// treeSearch is struct btrfs_ioctl_search_args_v2 (linux/btrfs.h) with its buffer. A
// struct btrfs_ioctl_search_header precedes each item.
type treeSearch struct {
	tree                   uint64
	minObject, maxObject   uint64
	minOffset, maxOffset   uint64
	minTransid, maxTransid uint64
	minType, maxType       uint32
	items                  uint32
	_                      uint32
	_                      [4]uint64
	size                   uint64
	found                  [256 << 10]byte
}

const (
	treeSearchIoctl  = 0xc0709411 // BTRFS_IOC_TREE_SEARCH_V2: _IOWR(0x94, 17, 112 bytes)
	treeSearchHeader = 32
	xattrItem        = 24 // BTRFS_XATTR_ITEM_KEY
	dirItemHeader    = 30 // struct btrfs_dir_item, little endian and packed
)

// manyXattrs returns extended attributes whose names are too many for the kernel to
// list. btrfs allows any number; manyXattrs reads them from the file's tree.
func manyXattrs(fd int) (map[string]string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	readable, err := reopen(fd)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer unix.Close(readable)
	found, size, args := map[string]string{}, 0, new(treeSearch)
	for from := uint64(0); ; {
		args.minObject, args.maxObject = st.Ino, st.Ino
		args.minType, args.maxType = xattrItem, xattrItem
		args.minOffset, args.maxOffset, args.maxTransid = from, math.MaxUint64, math.MaxUint64
		args.items, args.size = math.MaxUint32, uint64(len(args.found))
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(readable), treeSearchIoctl, uintptr(unsafe.Pointer(args)))
		if errno == unix.ENOTTY || errno == unix.EOPNOTSUPP {
			return nil, os.NewSyscallError("listxattr", unix.E2BIG)
		}
		if errno != 0 {
			return nil, os.NewSyscallError("ioctl", errno)
		}
		if args.items == 0 {
			return found, nil
		}
		last, more, err := xattrsIn(args.found[:], int(args.items), found)
		if size += more; err == nil && size > mostXattrs {
			err = errXattrs
		}
		if err != nil || last == math.MaxUint64 {
			return found, err
		}
		from = last + 1
	}
}

var errTree = errors.New("cannot read the extended attributes in the tree")

// xattrsIn parses the items of a tree search. It returns the offset of the last item's
// key, and the size of the attributes.
func xattrsIn(buf []byte, items int, found map[string]string) (last uint64, size int, err error) {
	for range items {
		if len(buf) < treeSearchHeader {
			return 0, 0, errTree
		}
		last = binary.NativeEndian.Uint64(buf[16:])
		length := int(binary.NativeEndian.Uint32(buf[28:]))
		if buf = buf[treeSearchHeader:]; length > len(buf) {
			return 0, 0, errTree
		}
		item := buf[:length]
		buf = buf[length:]
		for len(item) > 0 { // names with equal checksums are in one item
			if len(item) < dirItemHeader {
				return 0, 0, errTree
			}
			values, names := int(binary.LittleEndian.Uint16(item[25:])), int(binary.LittleEndian.Uint16(item[27:]))
			item = item[dirItemHeader:]
			if len(item) < names+values {
				return 0, 0, errTree
			}
			found[string(item[:names])] = string(item[names : names+values])
			size += names + values
			item = item[names+values:]
		}
	}
	return last, size, nil
}
