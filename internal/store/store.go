// Package store is the snapshot store: a file system that holds whole root
// file systems as subvolumes. Package btrfs implements it on the real thing,
// package fake in a directory for tests without root; both pass the suite in
// package storetest.
//
// Every path that a Store takes or returns is relative to its top level,
// cleaned, and without a leading slash, such as "@be/2026-11-20"; "." is the
// top level, which is itself a subvolume that can't be made, moved or deleted
// (CheckPath). The last name of a path is never followed if it is a symbolic
// link. Create, Snapshot and Rename make the missing directories above the new
// place as plain directories, mode 0755 less the umask.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound says that there is nothing at a path.
	ErrNotFound = errors.New("no such subvolume")
	// ErrNotSubvolume says that what is at a path is no subvolume.
	ErrNotSubvolume = errors.New("not a subvolume")
	// ErrExists says that the place of a new subvolume is taken.
	ErrExists = errors.New("already exists")
	// ErrBusy says that a subvolume is in use by the kernel, such as by a
	// swap file or by a running send.
	ErrBusy = errors.New("subvolume is busy")
	// ErrSwapFile is the ErrBusy that says that the kernel swaps to a file in a
	// subvolume, so that there can be no snapshot of it.
	ErrSwapFile = fmt.Errorf("%w: an active swap file is in it", ErrBusy)
	// ErrReadOnly says that a subvolume can't be moved because it is read-only.
	ErrReadOnly = errors.New("subvolume is read-only")
	// ErrUnsupported says that a directory is on no file system of this
	// store's kind.
	ErrUnsupported = errors.New("not on a file system with snapshots")
	// ErrBadPath says that a path is absolute, not cleaned, or leaves the store.
	ErrBadPath = errors.New("not a path inside the store")
)

// Subvolume describes one subvolume.
type Subvolume struct {
	Path       string    // from the top level
	ID         uint64    // unique in the file system, never used again
	UUID       string    // survives a rename
	ParentUUID string    // of the subvolume that this one is a snapshot of; "" if none
	ReadOnly   bool      // nothing in it can be changed
	Created    time.Time // when it was made
	Generation uint64    // of the last change in it, counted when it is written (Sync); taking a snapshot of it counts
	OTransID   uint64    // the generation in which it was made
}

// Store is a file system with subvolumes and snapshots. All changes are
// atomic: what a crash leaves has happened whole or not at all.
type Store interface {
	// Path returns the absolute name under which this process reaches path,
	// which may be any file in the store. It is valid until Close.
	Path(path string) string
	// Get describes the subvolume at path: ErrNotFound, ErrNotSubvolume.
	Get(path string) (Subvolume, error)
	// Locate describes the subvolume that holds the file at an absolute
	// path of this process's own name space: ErrUnsupported if that file is
	// on another file system than the store.
	Locate(file string) (Subvolume, error)
	// List describes the subvolumes directly in directory dir, by name. A
	// directory that doesn't exist holds none.
	List(dir string) ([]Subvolume, error)
	// Nested describes the subvolumes at any depth inside the one at path,
	// without that one, each before those that it holds. A snapshot of the
	// one at path would have empty directories in their places.
	Nested(path string) ([]Subvolume, error)
	// Create makes an empty subvolume, mode 0755: ErrExists.
	Create(path string) error
	// Snapshot makes dst a snapshot of the subvolume src, without those
	// nested in it: ErrNotFound, ErrNotSubvolume, ErrExists, ErrBusy. It
	// never nests dst in an existing directory of that name. It is durable,
	// with what was written to src before, once the call returns.
	Snapshot(src, dst string, readOnly bool) error
	// SnapshotOver is Snapshot to a place that an empty directory keeps, as a
	// snapshot has it where a subvolume was nested in its source, and which
	// goes: ErrNotFound if there is nothing at dst, ErrExists if that is
	// something else than an empty directory, and ErrBadPath if a symbolic
	// link is above it. None of these changes anything. A SnapshotOver that
	// was cut off may have left nothing at dst.
	SnapshotOver(src, dst string, readOnly bool) error
	// EmptyOver makes an empty subvolume in such a place, with the owner, the mode
	// and the attributes of the one at like: the same errors.
	EmptyOver(like, dst string) error
	// SetReadOnly makes the subvolume at path read-only, or writable.
	SetReadOnly(path string, readOnly bool) error
	// Rename moves a subvolume, with all that are nested in it, to a path
	// that is free: ErrNotFound, ErrNotSubvolume, ErrExists. It is durable
	// once the call returns. A read-only subvolume stays in its directory:
	// only its last name can change (ErrReadOnly). That the root directory of
	// one is immutable or append-only keeps nobody from it, here and in all
	// that follows.
	Rename(path, to string) error
	// Exchange has two subvolumes change their places, with all that are
	// nested in them, at one stroke: ErrNotFound, ErrNotSubvolume, and
	// ErrBadPath if one is inside the other. It is durable once the call
	// returns. Read-only ones have to be in one directory (ErrReadOnly).
	Exchange(path, with string) error
	// Delete removes the subvolume at path and all that are nested in it,
	// read-only ones too: ErrNotFound, ErrNotSubvolume, ErrBusy. Those
	// nested in it go first, one by one, so of a Delete that was cut off the
	// one at path is left, and a second Delete removes the rest. That it is
	// mounted somewhere stops nobody: the caller asks before. Space comes
	// back in the background.
	Delete(path string) error
	// Sync writes all that is dirty in the file system, and returns what
	// the kernel says of writes that it could not do (syncfs(2); errors
	// are reported since Linux 5.8).
	Sync() error
	// Free tells of the room that is left. What has not been written yet (Sync)
	// may not count, and what was deleted may still do so for a while.
	Free() (Free, error)
	// WaitForDeletions waits until what was deleted gives its space back, or until ctx is
	// done, which is an error.
	WaitForDeletions(ctx context.Context) error
	// Changed returns the paths, from the root of the subvolume at path, of
	// all that may have changed in it after a generation: of each file all
	// its names, and of a directory also if something in it was made, renamed
	// or deleted. The root is ".". Subvolumes nested in it are not looked
	// into. What has not been written yet (Sync) may be missing. For a path that is
	// too long stands another one (longpath.Cut).
	Changed(path string, since uint64) ([]string, error)
	// Device is what mount(8) takes as the source of this file system.
	Device() string
	// Close lets go of the file system.
	Close() error
}

// IsUnmodified says whether a subvolume still is what it was when it was made as a
// snapshot of another one, whatever became of that.
func IsUnmodified(st Store, snapshot, of Subvolume) (bool, error) {
	if snapshot.ParentUUID != of.UUID {
		return false, nil
	}
	changed, err := st.Changed(snapshot.Path, snapshot.OTransID)
	return len(changed) == 0, err
}
