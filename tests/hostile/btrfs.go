package hostile

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setImmutable sets or clears the flag of chattr +i.
func setImmutable(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const immutable = 0x10
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, immutable)
}

// control calls an ioctl on a directory, with a zeroed argument that set fills in.
func control(fd int, request uintptr, size int, set func([]byte)) error {
	argument := make([]byte, max(size, 8))
	if set != nil {
		set(argument)
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&argument[0])))
	return errnoOf(errno)
}

// btrfs returns the attempts by ioctls of the shared file system. A call that is not
// refused with EPERM would have succeeded with valid arguments.
func btrfs() []Attempt {
	iow := func(number uintptr, size int) uintptr { return 1<<30 | uintptr(size)<<16 | 0x94<<8 | number }
	iowr := func(number uintptr, size int) uintptr { return 3<<30 | uintptr(size)<<16 | 0x94<<8 | number }
	put64 := func(at int, value uint64) func([]byte) {
		return func(b []byte) { *(*uint64)(unsafe.Pointer(&b[at])) = value }
	}
	const big = uint64(1) << 40 // no subvolume has this number
	calls := []struct {
		name, what string
		request    uintptr
		size       int
		set        func([]byte)
	}{
		{"tree-search", "searches the tree of roots", iowr(17, 4096), 4096, func(b []byte) {
			for at, value := range map[int]uint64{0: 1, 16: ^uint64(0), 32: ^uint64(0), 48: ^uint64(0)} {
				put64(at, value)(b)
			}
			*(*uint32)(unsafe.Pointer(&b[60])) = ^uint32(0)
			*(*uint32)(unsafe.Pointer(&b[64])) = 1
		}},
		{"tree-search-2", "searches the tree of roots by the second call", iowr(17, 112), 4096, func(b []byte) {
			put64(0, 1)(b)
			put64(104, 1024)(b)
		}},
		{"destroy-by-number", "deletes a subvolume by its number", iow(63, 4096), 4096, func(b []byte) {
			put64(16, 1<<4)(b) // BTRFS_SUBVOL_SPEC_BY_ID
			put64(56, big)(b)
		}},
		{"default", "makes another subvolume the default", iow(19, 8), 8, put64(0, big)},
		{"balance", "cancels a balance", iow(33, 4), 8, put64(0, 2)},
		{"resize", "resizes the file system", iow(3, 4096), 4096, func(b []byte) { copy(b[8:], "99:max") }},
		{"add-device", "adds a device", iow(10, 4096), 4096, func(b []byte) { copy(b[8:], "/none") }},
		{"remove-device", "removes a device", iow(11, 4096), 4096, func(b []byte) { copy(b[8:], "/none") }},
		{"replace-device", "replaces a device", iowr(53, 2600), 4096, put64(0, 99)},
		{"quota", "turns quotas on", iowr(40, 16), 16, put64(0, 99)},
		{"quota-group", "makes a quota group", iow(42, 16), 16, put64(8, big)},
		{"scrub", "cancels a scrub", 0x94<<8 | 28, 8, nil},
		{"logical", "resolves a logical address to its files", iowr(36, 56), 64, nil},
		{"features", "sets a feature of the file system", iow(57, 48), 64, nil},
		{"trim", "FITRIM", 0xc0185879, 24, nil},
		{"shutdown", "FS_IOC_SHUTDOWN with a flag that there isn't", 2<<30 | 4<<16 | 0x58<<8 | 125, 8, put64(0, 99)},
		{"label", "sets the label of the file system", iow(50, 256), 4096, func(b []byte) {
			for i := range b {
				b[i] = 'x' // no end: too long
			}
		}},
		{"devices-info", "scrub of a device that there isn't", iowr(27, 1024), 1024, put64(0, big)},
	}
	var list []Attempt
	for _, c := range calls {
		list = append(list, Attempt{Name: "btrfs-" + c.name, Wall: "btrfs", What: c.what, run: func() Verdict {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			err = control(fd, c.request, c.size, c.set)
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
				return held("%v", err)
			}
			return broken("it is allowed: %v", err)
		}})
	}
	return append(list,
		Attempt{Name: "freeze", Wall: "btrfs", What: "FIFREEZE, and FITHAW at once", run: func() Verdict {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			err = unix.IoctlSetInt(fd, 0xc0045877, 0)
			if err == nil {
				_ = unix.IoctlSetInt(fd, 0xc0045878, 0)
			}
			return refused(err, "froze it")
		}},
		Attempt{Name: "btrfs-snapshot", Wall: "btrfs", What: "snapshots of what can be opened: /, /proc/1/root, its descriptors", run: func() Verdict {
			dir, err := unix.Open("/var/tmp", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(dir)
			for _, name := range firsts() {
				for _, file := range []string{"root", "cwd", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "fd/8", "root/root"} {
					source, err := unix.Open(name+"/"+file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
					if err != nil {
						continue
					}
					err = control(dir, iow(23, 4096), 4096, func(b []byte) {
						put64(0, uint64(source))(b)
						copy(b[56:], "hostile-snapshot")
					})
					unix.Close(source)
					if err == nil {
						return broken("of %s/%s", name, file)
					}
				}
			}
			return held("nothing to make one of")
		}},
		Attempt{Name: "btrfs-look-up", Wall: "btrfs", What: "asks for the path of inode 256 of each subvolume", run: func() Verdict {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			for root := uint64(256); root < 300; root++ {
				err = control(fd, iowr(18, 4096), 4096, func(b []byte) { put64(0, root)(b); put64(8, 257)(b) })
				if err == nil {
					return broken("subvolume %d", root)
				}
			}
			return held("%v", err)
		}},
		Attempt{Name: "btrfs-own", Wall: "btrfs", What: "makes subvolumes in its own root, sets its received UUID, defragments, all of which is its own", run: func() Verdict {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			err = control(fd, iow(14, 4096), 4096, func(b []byte) { copy(b[8:], "hostile-subvolume") })
			return did("%v, %v", err, control(fd, iowr(37, 200), 256, nil))
		}},
		Attempt{Name: "send", Wall: "btrfs", What: "btrfs send of its own root", run: func() Verdict {
			read, write, err := os.Pipe()
			if err != nil {
				return held("%v", err)
			}
			defer read.Close()
			defer write.Close()
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			err = control(fd, iow(38, 72), 128, put64(0, uint64(write.Fd())))
			return refused(err, "it sends")
		}},
	)
}
