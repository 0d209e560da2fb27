// Package store defines the snapshot store: a file system that contains whole root file
// systems as subvolumes. Package btrfs implements it on btrfs, and package fake in a
// plain directory for tests without root. Both pass the suite in package storetest.
//
// Every path that a Store takes or returns is relative to the top level, cleaned, and
// without a leading slash, such as "@be/2026-11-20". "." is the top level, a subvolume
// that cannot be created, moved or deleted (CheckPath). If the last name of a path is a
// symbolic link, it is not followed. Create, Snapshot and Rename create missing
// directories above the new place as plain directories, mode 0755 minus the umask.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound reports that a path does not exist.
	ErrNotFound = errors.New("no such subvolume")
	// ErrNotSubvolume reports that a path is not a subvolume.
	ErrNotSubvolume = errors.New("not a subvolume")
	// ErrExists reports that the path of a new subvolume is taken.
	ErrExists = errors.New("already exists")
	// ErrBusy reports that the kernel uses a subvolume, such as for a swap file or a
	// running send.
	ErrBusy = errors.New("subvolume is busy")
	// ErrSwapFile is the ErrBusy of a subvolume with an active swap file, of which the
	// kernel makes no snapshot.
	ErrSwapFile = fmt.Errorf("%w: an active swap file is in it", ErrBusy)
	// ErrReadOnly reports that a subvolume cannot be moved because it is read-only.
	ErrReadOnly = errors.New("subvolume is read-only")
	// ErrUnsupported reports that a directory is not on a file system of this store's
	// kind.
	ErrUnsupported = errors.New("not on a file system with snapshots")
	// ErrBadPath reports that a path is absolute, not cleaned, or outside of the store.
	ErrBadPath = errors.New("not a path inside the store")
)

// Subvolume describes a subvolume.
type Subvolume struct {
	Path       string    // from the top level
	ID         uint64    // unique in the file system, never reused
	UUID       string    // stays the same after a rename
	ParentUUID string    // the subvolume that this one is a snapshot of; "" if none
	ReadOnly   bool      // nothing in it can be changed
	Created    time.Time // the time of its creation
	Generation uint64    // the generation of the last change in it; a change counts when it is written (Sync), and taking a snapshot of it counts
	OTransID   uint64    // the generation in which it was created
}

// Store is a file system with subvolumes and snapshots. All changes are atomic: after a
// crash each has happened completely or not at all.
type Store interface {
	// Path returns the absolute path by which this process reaches a file in the store.
	// It is valid until Close.
	Path(path string) string
	// Get describes the subvolume at path. Errors: ErrNotFound, ErrNotSubvolume.
	Get(path string) (Subvolume, error)
	// Locate describes the subvolume that contains the file at an absolute path in this
	// process's mount namespace. It returns ErrUnsupported if the file is on another
	// file system.
	Locate(file string) (Subvolume, error)
	// List describes the subvolumes directly in directory dir, sorted by name. For a
	// missing directory the list is empty.
	List(dir string) ([]Subvolume, error)
	// Nested describes the subvolumes at any depth inside the one at path, each before
	// its own nested subvolumes. A snapshot of the subvolume at path has empty
	// directories in their places.
	Nested(path string) ([]Subvolume, error)
	// Create makes an empty subvolume, mode 0755. Error: ErrExists.
	Create(path string) error
	// Snapshot makes dst a snapshot of the subvolume src, without nested subvolumes. It
	// never nests dst in an existing directory of that name. When it returns, the
	// snapshot and all earlier writes to src are durable. Errors: ErrNotFound,
	// ErrNotSubvolume, ErrExists, ErrBusy.
	Snapshot(src, dst string, readOnly bool) error
	// SnapshotOver is Snapshot to a place where an empty directory exists, as a
	// snapshot has it in the place of a nested subvolume. The snapshot replaces the
	// directory. Errors: ErrNotFound if dst does not exist, ErrExists if it is not an
	// empty directory, and ErrBadPath if a symbolic link is above it; none of them
	// changes anything. An interrupted SnapshotOver may leave dst missing.
	SnapshotOver(src, dst string, readOnly bool) error
	// EmptyOver makes an empty subvolume in such a place, with the owner, mode and
	// attributes of the one at like. It returns the same errors.
	EmptyOver(like, dst string) error
	// SetReadOnly makes the subvolume at path read-only or writable.
	SetReadOnly(path string, readOnly bool) error
	// Rename moves a subvolume, with nested subvolumes, to a free path. When it
	// returns, the move is durable. A read-only subvolume can only change its last name
	// (ErrReadOnly). Immutable and append-only root directories of subvolumes do not
	// prevent it, here and in the following methods. Errors: ErrNotFound,
	// ErrNotSubvolume, ErrExists.
	Rename(path, to string) error
	// Exchange exchanges the places of two subvolumes atomically, with nested
	// subvolumes. When it returns, the exchange is durable. Read-only subvolumes must
	// be in the same directory (ErrReadOnly). Errors: ErrNotFound, ErrNotSubvolume, and
	// ErrBadPath if one is inside the other.
	Exchange(path, with string) error
	// Delete removes the subvolume at path and all nested ones, read-only ones too. It
	// deletes nested ones first, one by one; after an interrupted Delete the subvolume
	// at path still exists, and a second Delete removes the rest. Delete also removes
	// mounted subvolumes, so the caller must check. The space is freed in the
	// background. Errors: ErrNotFound, ErrNotSubvolume, ErrBusy.
	Delete(path string) error
	// Sync writes all dirty data of the file system. It returns the kernel's errors of
	// failed writes (syncfs(2); since Linux 5.8).
	Sync() error
	// Free returns the free space. Unwritten data (Sync) may not count, and deleted
	// data may still count for a while.
	Free() (Free, error)
	// WaitForDeletions blocks until the file system has freed the space of deleted
	// subvolumes. It fails if ctx ends first.
	WaitForDeletions(ctx context.Context) error
	// Changed returns the paths, from the root of the subvolume at path, of all files
	// that may have changed after a generation: all names of each file, and also
	// directories in which an entry was created, renamed or deleted. The root is ".".
	// It does not look into nested subvolumes. Unwritten changes (Sync) may be missing.
	// A path that is too long is replaced by a shorter one (longpath.Cut).
	Changed(path string, since uint64) ([]string, error)
	// Device returns the source of this file system for mount(8).
	Device() string
	// Close closes the file system.
	Close() error
}

// IsUnmodified reports whether a subvolume is unchanged since it was created as a
// snapshot of another one. The other one may have changed.
func IsUnmodified(st Store, snapshot, of Subvolume) (bool, error) {
	if snapshot.ParentUUID != of.UUID {
		return false, nil
	}
	changed, err := st.Changed(snapshot.Path, snapshot.OTransID)
	return len(changed) == 0, err
}
