package kernels

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/ui"
)

// margin stays free, in bytes, for menu entries, GRUB's environment, the index and
// directories.
const margin = 1 << 20

// space returns the number of bytes of copies that still fit, and the size of the
// blocks that store them.
func (s Store) space() (free, block int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.Dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("cannot determine the free space on %s: %w", s.Dir, err)
	}
	block = stat.Bsize
	return max(0, int64(stat.Bavail)*block-margin), block, nil
}

func roundUp(bytes, block int64) int64 { return (bytes + block - 1) / block * block }

func noSpace(what string, needed, free int64) error {
	return fmt.Errorf("%s: needs %s, %s free: %w", what, ui.Size(needed), ui.Size(free), boot.ErrNoSpace)
}
