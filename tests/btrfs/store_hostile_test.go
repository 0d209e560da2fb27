package btrfs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/mounts"
)

// intruder creates objects that a maintainer script can create in its own root, below
// an open directory.
type intruder struct{ testing.TB }

const (
	immutableFlag  = 0x10
	appendOnlyFlag = 0x20
)

// dir creates a directory and opens it.
func (h intruder) dir(at int, name string) int {
	h.Helper()
	storeMust(h, unix.Mkdirat(at, name, 0o755))
	return h.open(at, name)
}

func (h intruder) open(at int, name string) int {
	h.Helper()
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	storeMust(h, err)
	return fd
}

// subvolume creates a subvolume by the ioctl that every user may call in an own
// directory, and opens it.
func (h intruder) subvolume(at int, name string) int {
	h.Helper()
	var args struct {
		fd   int64
		name [4088]byte
	}
	copy(args.name[:], name)
	const create = 0x5000940e // BTRFS_IOC_SUBVOL_CREATE
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(at), create, uintptr(unsafe.Pointer(&args))); errno != 0 {
		h.Fatalf("a subvolume %.30q: %v", name, errno)
	}
	return h.open(at, name)
}

func (h intruder) flags(fd, flags int) {
	h.Helper()
	storeMust(h, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags))
}

func (h intruder) readOnly(fd int) {
	h.Helper()
	flags := uint64(2)     // BTRFS_SUBVOL_RDONLY
	const set = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), set, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		h.Fatal(errno)
	}
}

func (h intruder) close(fds ...int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// TestStoreDeleteHostileContents deletes a subvolume with contents that hamper an
// ordinary deletion.
func TestStoreDeleteHostileContents(t *testing.T) {
	s, _ := newStore(t, 2*storeImageSize)
	for name, make := range map[string]func(h intruder, top int){
		"immutable root":   func(h intruder, top int) { h.flags(top, immutableFlag) },
		"append-only root": func(h intruder, top int) { h.flags(top, appendOnlyFlag) },
		"both":             func(h intruder, top int) { h.flags(top, immutableFlag|appendOnlyFlag) },
		"immutable files": func(h intruder, top int) {
			dir := h.dir(top, "d")
			fd, err := unix.Openat(dir, "f", unix.O_CREAT|unix.O_RDONLY, 0o600)
			storeMust(h, err)
			h.flags(fd, immutableFlag)
			h.flags(dir, immutableFlag)
			h.close(fd, dir)
		},
		"nested in immutable directories": func(h intruder, top int) {
			a := h.dir(top, "a")
			b := h.dir(a, "b")
			sub := h.subvolume(b, "s")
			inner := h.subvolume(sub, "inner")
			for _, fd := range []int{inner, sub, b, a, top} {
				h.flags(fd, immutableFlag)
			}
			h.close(inner, sub, b, a)
		},
		"nested in append-only directories": func(h intruder, top int) {
			a := h.dir(top, "a")
			sub := h.subvolume(a, "s")
			inner := h.subvolume(sub, "inner")
			for _, fd := range []int{inner, sub, a, top} {
				h.flags(fd, appendOnlyFlag)
			}
			h.close(inner, sub, a)
		},
		"nested in read-only ones": func(h intruder, top int) {
			sub := h.subvolume(top, "s")
			dir := h.dir(sub, "d")
			inner := h.subvolume(dir, "inner")
			h.flags(dir, immutableFlag)
			h.flags(inner, immutableFlag)
			h.flags(sub, appendOnlyFlag)
			for _, fd := range []int{inner, sub, top} {
				h.readOnly(fd)
			}
			h.close(inner, dir, sub)
		},
		"names": func(h intruder, top int) {
			for _, name := range []string{
				" ", "\n", "...", "-rf", "a\tb", "\xff\xfe", strings.Repeat("x", 255), strings.Repeat("ä", 127), ".new-x", "@be", `\`, "*", "%s", "(deleted)",
			} {
				sub := h.subvolume(top, name)
				h.close(sub, h.subvolume(sub, name))
			}
		},
		"modes": func(h intruder, top int) {
			none, others := h.subvolume(top, "none"), h.subvolume(top, "others")
			storeMust(h, unix.Fchmod(none, 0))
			storeMust(h, unix.Fchown(others, 1234, 1234))
			h.close(none, others)
		},
		"deeply nested": func(h intruder, top int) {
			fds := []int{top}
			for range 60 {
				fds = append(fds, h.subvolume(fds[len(fds)-1], "d"))
			}
			h.close(fds[1:]...)
		},
		"below a long path": func(h intruder, top int) {
			at := h.dir(top, "long")
			for range 30 {
				next := h.dir(at, strings.Repeat("n", 250))
				h.close(at)
				at = next
			}
			sub := h.subvolume(at, "s")
			dir := h.dir(sub, "d")
			inner := h.subvolume(dir, "inner")
			h.flags(inner, immutableFlag)
			h.flags(dir, immutableFlag)
			h.readOnly(sub)
			h.flags(at, immutableFlag)
			h.close(at, sub, dir, inner)
		},
		"a long path of subvolumes": func(h intruder, top int) {
			at := h.subvolume(top, "long")
			for range 30 {
				next := h.subvolume(at, strings.Repeat("n", 250))
				h.close(at)
				at = next
			}
			h.close(at)
		},
		// 10,000 of them take about 10 s.
		"many": func(h intruder, top int) {
			for n := range 20 {
				dir := h.dir(top, fmt.Sprint(n))
				for m := range 100 {
					sub := h.subvolume(dir, fmt.Sprint(m))
					if m%10 == 0 {
						h.flags(sub, immutableFlag)
					}
					h.close(sub)
				}
				h.close(dir)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			storeMust(t, s.Create("@be/.new-x"))
			h := intruder{t}
			top := h.open(unix.AT_FDCWD, s.Path("@be/.new-x"))
			make(h, top)
			h.close(top)
			if _, err := s.Nested("."); err != nil {
				t.Errorf("Nested: %v", err)
			}
			before, err := os.ReadDir("/proc/self/fd")
			storeMust(t, err)
			storeMust(t, s.Delete("@be/.new-x"))
			after, err := os.ReadDir("/proc/self/fd")
			storeMust(t, err)
			if len(after) > len(before) {
				t.Errorf("%d descriptors are open, %d were", len(after), len(before))
			}
			if left, err := s.Nested("."); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestStoreDeleteHostileScratch removes files from the store that a script has made
// on another file system.
func TestStoreDeleteHostileScratch(t *testing.T) {
	s, _ := newStore(t, storeImageSize)
	h := intruder{t}
	path := s.Path("scratch")
	storeMust(t, os.Mkdir(path, 0o755))
	at := h.open(unix.AT_FDCWD, path)
	for range 30 {
		next := h.dir(at, strings.Repeat("n", 250))
		h.close(at)
		at = next
	}
	fd, err := unix.Openat(at, "f", unix.O_CREAT|unix.O_RDONLY, 0o600)
	storeMust(t, err)
	h.flags(fd, immutableFlag)
	storeMust(t, unix.Mkfifoat(at, "fifo", 0o600))
	h.flags(at, appendOnlyFlag)
	h.close(fd, at)
	storeMust(t, durable.RemoveAll(path))
	if _, err := os.Lstat(path); err == nil {
		t.Error("it is left")
	}
}

// TestStoreRecovery has an interrupted build whose root a script has locked and filled
// with subvolumes, and which is mounted. It is deleted when it is unmounted.
func TestStoreRecovery(t *testing.T) {
	s, image := newStore(t, storeImageSize)
	storeMust(t, s.Create("@rootfs"))
	root := t.TempDir()
	image.Mount(t, root, "subvol=@rootfs")
	reg := be.NewRegistry(s, root, func(string) (be.Identity, error) { return be.Identity{}, nil })
	reg.Mounted = func(subvolume string) ([]string, error) { return mounts.Of(s.Device(), subvolume) }
	origin, err := reg.Running()
	storeMust(t, err)
	build, _, err := reg.Begin(t.Context(), be.BuildOptions{Name: "new", Origin: origin, CreatedBy: be.User})
	storeMust(t, err)
	build.LockFile().Close()
	h := intruder{t}
	top := h.open(unix.AT_FDCWD, s.Path(build.Path))
	sub := h.subvolume(top, "s")
	h.flags(sub, immutableFlag)
	h.flags(top, immutableFlag)
	h.close(sub, top)
	recover := func() (errs []error) {
		release, err := reg.Lock(t.Context())
		storeMust(t, err)
		defer release()
		recovered, err := reg.Recover(t.Context())
		storeMust(t, err)
		for _, r := range recovered {
			errs = append(errs, r.Err)
		}
		return errs
	}
	dir := t.TempDir()
	storeMust(t, unix.Mount(image.Device, dir, "btrfs", 0, "subvol="+build.Path+"/s"))
	errs := recover()
	storeMust(t, unix.Unmount(dir, 0))
	if len(errs) != 1 || !errors.Is(errs[0], be.ErrProtected) || !strings.Contains(errs[0].Error(), "is mounted at "+dir) {
		t.Errorf("Recover of what is mounted: %v", errs)
	}
	if _, err := s.Get(build.Path); err != nil {
		t.Errorf("what is mounted is gone: %v", err)
	}
	if errs := recover(); len(errs) != 1 || errs[0] != nil {
		t.Errorf("Recover: %v", errs)
	}
	for _, dir := range []string{be.EnvDir, be.BaseDir} {
		if left, err := s.List(dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}
