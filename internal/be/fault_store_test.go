package be_test

import (
	"errors"

	"github.com/apt-be/apt-be/internal/store"
)

// fault is the result of a call that changes a store.
type fault string

const (
	failBefore  fault = "fail before"  // the call fails, and has no effect
	failAfter   fault = "fail after"   // the call fails, but takes effect
	crashBefore fault = "crash before" // the process dies
	crashAfter  fault = "crash after"
)

var faults = []fault{failBefore, failAfter, crashBefore, crashAfter}

var errFault = errors.New("a fault was injected")

// faulty is a store with a fault at the nth call that changes it.
type faulty struct {
	store.Store
	at    int
	fault fault
	calls int
}

func (f *faulty) change(do func() error) error {
	f.calls++
	if f.calls != f.at {
		return do()
	}
	switch f.fault {
	case failBefore:
		return errFault
	case crashBefore:
		panic(errFault)
	}
	if err := do(); err != nil {
		return err
	}
	if f.fault == crashAfter {
		panic(errFault)
	}
	return errFault
}

func (f *faulty) Create(path string) error {
	return f.change(func() error { return f.Store.Create(path) })
}

func (f *faulty) Snapshot(src, dst string, readOnly bool) error {
	return f.change(func() error { return f.Store.Snapshot(src, dst, readOnly) })
}

func (f *faulty) SnapshotOver(src, dst string, readOnly bool) error {
	return f.change(func() error { return f.Store.SnapshotOver(src, dst, readOnly) })
}

func (f *faulty) EmptyOver(like, dst string) error {
	return f.change(func() error { return f.Store.EmptyOver(like, dst) })
}

func (f *faulty) SetReadOnly(path string, readOnly bool) error {
	return f.change(func() error { return f.Store.SetReadOnly(path, readOnly) })
}

func (f *faulty) Rename(path, to string) error {
	return f.change(func() error { return f.Store.Rename(path, to) })
}

func (f *faulty) Exchange(path, with string) error {
	return f.change(func() error { return f.Store.Exchange(path, with) })
}

func (f *faulty) Delete(path string) error {
	return f.change(func() error { return f.Store.Delete(path) })
}

func (f *faulty) Sync() error { return f.change(f.Store.Sync) }
