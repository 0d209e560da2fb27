//go:build !cgo

package btrfs

import (
	"errors"

	"github.com/apt-be/apt-be/internal/store"
)

var errNoCgo = errors.New("cannot open a btrfs file system: built without cgo")

// Store is a btrfs file system; there is none in a program built without cgo.
type Store struct{ store.Store }

// Open returns an error: this program was built without cgo.
func Open(string) (*Store, error) { return nil, errNoCgo }

// OpenDevice returns an error: this program was built without cgo.
func OpenDevice(string) (*Store, error) { return nil, errNoCgo }

// Free returns an error: this program was built without cgo.
func Free(string) (store.Free, error) { return store.Free{}, errNoCgo }
