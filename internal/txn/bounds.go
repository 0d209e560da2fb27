package txn

import (
	"errors"
	"fmt"
	"slices"
)

// BoundsError says that a step names what steps of its kind do not touch.
type BoundsError struct {
	Kind string // of the step
	Name string // what it names
	Why  string // such as "is not of this transaction"
}

func (e *BoundsError) Error() string {
	return fmt.Sprintf("its step %s names %q, which %s", e.Kind, e.Name, e.Why)
}

// OutOfBounds is what a Handler's Check returns: the step names something which,
// in words, is out of its bounds.
func OutOfBounds(name, why string) error { return &BoundsError{Name: name, Why: why} }

// Only is OutOfBounds if there is an argument with another key than these.
func (a Args) Only(keys ...string) error {
	for key := range a {
		if !slices.Contains(keys, key) {
			return OutOfBounds(key, "means nothing to it")
		}
	}
	return nil
}

// boundsOf says of which kind of step an error of Check is.
func boundsOf(kind string, err error) error {
	var bounds *BoundsError
	if errors.As(err, &bounds) {
		bounds.Kind = kind
	}
	return err
}
