// Package diskspace tells whether an upgrade fits: what it takes is foreseen before
// the first package is unpacked, since a file system that fills up on the way
// costs the running system its room, too.
package diskspace

import (
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

// ErrNoSpace says that something does not fit.
var ErrNoSpace = errors.New("the file system is too full")

// Hint is what to do about ErrShort.
const Hint = "apt-be list -s shows what destroying each boot environment would free, apt-be prune removes those that nobody needs, apt-get clean what was downloaded"

// Estimate is the room that something takes, in bytes. The zero Need is that of
// what has only begun: nothing but what stays free.
type Estimate struct {
	Data     uint64 // contents of files
	Metadata uint64 // names, attributes, small files
}

// What stays free, in bytes.
const (
	// The running system goes on writing while it is upgraded, and needs room
	// until the next boot; and maintainer scripts make what no package tells
	// of: caches of fonts and manual pages, modules of their own.
	freeData = 128 << 20
	// A btrfs without room for metadata does not even take back what was
	// written. Beside its own reserve, this is what two snapshots and the
	// trees that change with them take.
	freeMetadata = 32 << 20
)

// Check returns an error that is ErrShort, with figures, if that does not fit.
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
		return fmt.Errorf("%w: %s%s to be left, %s free", ErrNoSpace, size(left), what, size(there))
	}
	return fmt.Errorf("%w: about %s%s needed and %s to be left, %s free", ErrNoSpace, size(needed), what, size(left), size(there))
}

func size(bytes uint64) string { return ui.Size(int64(min(bytes, 1<<62))) }
