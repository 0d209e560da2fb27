package grub

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkpoint is EXT4_IOC_CHECKPOINT, which writes ext4's journal to the final places
// (Linux 5.14). mips and powerpc have another number; their kernels reject this one as
// unknown.
const checkpoint = 0x4004662b

// Settle syncs the file system of dir to the places that GRUB reads. fsync(2) is not
// sufficient: GRUB reads neither ext4's journal nor btrfs's log tree, and after a power
// cut it runs before the kernel, which does.
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
		return nil // a file system of a user is that of a test
	}
	if err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.ENODEV) { // ENODEV: there is no journal
		return fmt.Errorf("cannot write the journal of the file system of %s into its place: %w", dir, err)
	}
	return nil
}
