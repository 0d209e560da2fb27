// Package store is the snapshot store: a file system that holds whole root
// file systems as subvolumes. Package btrfs implements it on the real thing,
// package fake in a directory for tests without root; both pass the suite in
// package storetest.
//
// Every path that a Store takes or returns is relative to its top level,
// cleaned, and without a leading slash, such as "@be/2026-11-20".
package store

import (
	"errors"
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
	Generation uint64    // of the last change in it; grows with each transaction
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
	// Create makes an empty subvolume: ErrExists.
	Create(path string) error
	// Snapshot makes dst a snapshot of the subvolume src, without those
	// nested in it: ErrNotFound, ErrNotSubvolume, ErrExists. It never nests
	// dst in an existing directory of that name.
	Snapshot(src, dst string, readOnly bool) error
	// SetReadOnly makes the subvolume at path read-only, or writable.
	SetReadOnly(path string, readOnly bool) error
	// Rename moves a subvolume to a path that is free: ErrNotFound,
	// ErrExists. It is durable once the call returns.
	Rename(path, to string) error
	// Delete removes the subvolume at path and all that are nested in it,
	// read-only ones too: ErrNotFound, ErrNotSubvolume, ErrBusy. Space
	// comes back in the background.
	Delete(path string) error
	// Sync writes all that is dirty in the file system, and returns what
	// the kernel says of writes that it could not do (syncfs(2); errors
	// are reported since Linux 5.8).
	Sync() error
	// Device is what mount(8) takes as the source of this file system.
	Device() string
	// Close lets go of the file system.
	Close() error
}
