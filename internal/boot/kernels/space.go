package kernels

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/ui"
)

// margin is left free, in bytes: menu entries, GRUB's environment, the index
// and directories have to fit as well.
const margin = 1 << 20

// space is how many bytes of copies still fit, and the size of the blocks in
// which they are stored.
func (s Store) space() (free, block int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.Dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("cannot find out how much room there is on %s: %w", s.Dir, err)
	}
	block = stat.Bsize
	return max(0, int64(stat.Bavail)*block-margin), block, nil
}

func roundUp(bytes, block int64) int64 { return (bytes + block - 1) / block * block }

func noSpace(what string, needed, free int64) error {
	return fmt.Errorf("%s: %s needed, %s free: %w", what, ui.Size(needed), ui.Size(free), boot.ErrNoSpace)
}
