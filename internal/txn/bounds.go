package txn

import (
	"errors"
	"fmt"
	"slices"
)

// BoundsError reports that an argument of a step is out of bounds for its kind.
type BoundsError struct {
	Kind string // the kind of the step
	Name string // the argument's value
	Why  string // the reason, such as "is not of this transaction"
}

func (e *BoundsError) Error() string {
	return fmt.Sprintf("the argument %[2]q of the step %[1]s %[3]s", e.Kind, e.Name, e.Why)
}

// OutOfBounds returns the error for a Handler's Check: the value name is out of bounds,
// because of why.
func OutOfBounds(name, why string) error { return &BoundsError{Name: name, Why: why} }

// Only returns OutOfBounds if args has a key that is not in keys.
func (a Args) Only(keys ...string) error {
	for key := range a {
		if !slices.Contains(keys, key) {
			return OutOfBounds(key, "is unknown")
		}
	}
	return nil
}

// boundsOf adds the kind of the step to an error of Check.
func boundsOf(kind string, err error) error {
	var bounds *BoundsError
	if errors.As(err, &bounds) {
		bounds.Kind = kind
	}
	return err
}
