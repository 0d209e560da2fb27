package be

import "errors"

var (
	// ErrBadName reports that a string is not a valid name for a boot environment.
	ErrBadName = errors.New("bad name")
	// ErrNotFound reports that there is no boot environment of that name.
	ErrNotFound = errors.New("no such boot environment")
	// ErrExists reports that a name is taken.
	ErrExists = errors.New("a boot environment of that name exists")
	// ErrProtected reports that a rule forbids destroying or changing a boot
	// environment.
	ErrProtected = errors.New("protected")
	// ErrNotSetUp reports that apt-be init was not run on this machine.
	ErrNotSetUp = errors.New("the boot menu is not set up for boot environments")
	// ErrNewerSchema reports that a newer apt-be wrote a record.
	ErrNewerSchema = errors.New("written by a newer apt-be")
)
