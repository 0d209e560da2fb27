package btrfs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// fsNocow is FS_NOCOW_FL of linux/fs.h.
const fsNocow = 0x800000

// ioctlBuffer passes a buffer to the kernel and back.
func ioctlBuffer(file *os.File, request uintptr, buffer []byte) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(unsafe.Pointer(&buffer[0]))); errno != 0 {
		return errno
	}
	return nil
}

// makeNocow replaces a file by a copy with the attribute NOCOW (chattr +C), with the
// same content and time. Only an empty file can get the attribute.
func makeNocow(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, fsNocow); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
}

// makeHoles replaces a file by a copy with the same content. Between two offsets the
// copy has holes instead of zeros.
func makeHoles(t *testing.T, name string, from, to int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
		t.Fatal(err)
	}
}

// The sizes in bytes of the full disk, of the file on it, and of the free space.
const (
	fullDisk = 256 << 20
	fullFile = 24 << 20
	fullFree = 8 << 20
)

// testSkipFullDisk installs over a large file on a file system without space for a
// second copy. If the last byte differs, dpkg fails and leaves the old file, unless the
// variant shares the bytes before. If the file is unchanged, variants that do not write
// it succeed.
func testSkipFullDisk(t *testing.T, image *machine.Image, variant skipper) {
	const look = "cd /srv/skip && stat -c '%i %y' large && sha256sum large && ls"
	content := noise(fullFile, 1)
	before := skipPackage("1.0", regular("/srv/skip/large", content))
	for _, c := range []struct {
		name    string
		after   packages.Exact
		fails   bool
		changes bool // the content
	}{
		{"last byte changed", skipPackage("2.0", regular("/srv/skip/large", flipped(content, fullFile-1))), !variant.sharesPrefix, variant.sharesPrefix},
		{"a byte in the middle changed", skipPackage("2.0", regular("/srv/skip/large", flipped(content, fullFile/2))), true, false},
		{"unchanged", skipPackage("2.0", regular("/srv/skip/large", content)), !variant.shares, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer image.Clear(t, skipBase)
			disk := loop.Create(t, fullDisk)
			m := image.Start(t, skipBase, skipRun)
			m.Shell(t, "mkdir -p /srv/skip "+skipDebs+" && mount -t btrfs "+disk.Device+" /srv/skip")
			m.Shell(t, "dpkg -i "+skipDebs+"/"+writeDeb(t, before, m.Path(skipDebs)))
			m.Shell(t, "sync; dd if=/dev/zero of=/srv/skip/rest bs=1M 2>/dev/null || true; sync")
			m.Shell(t, fmt.Sprintf("truncate -s -%d /srv/skip/rest && sync", fullFree))
			was := m.Shell(t, look)
			file := writeDeb(t, c.after, m.Path(skipDebs))
			result := m.Run(t, machine.Command{Args: append(append([]string{}, variant.command...), "-i", skipDebs+"/"+file)})
			if failed := result.Status != 0; failed != c.fails {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			is := m.Shell(t, look)
			if !c.fails { // the inode and the time are new
				_, was, _ = strings.Cut(was, "\n")
				_, is, _ = strings.Cut(is, "\n")
			}
			if (is != was) != c.changes {
				t.Errorf("the old file is now\n%s, was\n%s", is, was)
			}
			m.Shell(t, "umount /srv/skip")
			m.Stop(t)
		})
	}
}
