// Package diskspace checks whether an upgrade fits on the disk. It estimates the size
// before the first package is unpacked, because a full file system also stops the
// running system.
package diskspace

import (
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

// ErrNoSpace reports that an upgrade does not fit.
var ErrNoSpace = errors.New("the file system is too full")

// Hint is the remedy for ErrNoSpace.
const Hint = "`apt-be list -s` shows the space that destroying each boot environment would free, `apt-be prune` destroys unneeded ones, and `apt-get clean` deletes downloaded packages"

// Estimate is the estimated size of an operation, in bytes. The zero Estimate requires
// only the reserve.
type Estimate struct {
	Data     uint64 // contents of files
	Metadata uint64 // names, attributes and small files
}

// The reserve, in bytes.
const (
	// The running system continues to write during the upgrade, and until the next
	// boot. Maintainer scripts also create files that no package lists: font caches,
	// manual page indexes, kernel modules.
	freeData = 128 << 20
	// Without free metadata space, btrfs cannot even undo a write. Two snapshots and
	// their changed trees take this much, in addition to btrfs's own reserve.
	freeMetadata = 32 << 20
)

// Check returns ErrNoSpace, with figures, if the estimate plus the reserve exceeds the
// free space.
func (n Estimate) Check(free store.Free) error {
	data, metadata := n.Data+freeData, n.Metadata+freeMetadata
	if free.Holds(data, metadata) {
		return nil
	}
	what, needed, left, there := "", n.Data, uint64(freeData), free.DataBeside(metadata)
	if metadata > free.AllMetadata() {
		what, needed, left, there = " of metadata", n.Metadata, freeMetadata, free.AllMetadata()
	}
	if needed == 0 {
		return fmt.Errorf("%w: needs a reserve of %s%s; %s free", ErrNoSpace, size(left), what, size(there))
	}
	return fmt.Errorf("%w: needs about %s%s plus a reserve of %s; %s free", ErrNoSpace, size(needed), what, size(left), size(there))
}

func size(bytes uint64) string { return ui.Size(int64(min(bytes, 1<<62))) }
