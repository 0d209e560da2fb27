package be

import (
	"fmt"
	"regexp"
	"time"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$`)

// CheckName returns an error if a name is invalid for a boot environment. Names occur
// in paths, boot menus and kernel command lines.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%w %q: it takes 1 to 63 letters, digits and . _ + -, the first a letter or digit", ErrBadName, name)
	}
	return nil
}

// AutoName returns the first free name of 2026-11-20, 2026-11-20.2, 2026-11-20.3, ….
func AutoName(day time.Time, taken func(name string) bool) string {
	date := day.Format(time.DateOnly)
	name := date
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s.%d", date, n)
	}
	return name
}
