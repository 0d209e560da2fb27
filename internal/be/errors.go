package be

import "errors"

var (
	// ErrBadName says that a string can't be the name of a boot environment.
	ErrBadName = errors.New("bad name")
	// ErrNotFound says that there is no boot environment of that name.
	ErrNotFound = errors.New("no such boot environment")
	// ErrExists says that a name is taken.
	ErrExists = errors.New("there is a boot environment of that name")
	// ErrProtected says that a rule keeps a boot environment from being
	// destroyed or changed.
	ErrProtected = errors.New("protected")
	// ErrNotSetUp says that apt-be init has not been run on this machine.
	ErrNotSetUp = errors.New("the boot menu is not set up for boot environments")
	// ErrNewerSchema says that a record was written by a newer apt-be.
	ErrNewerSchema = errors.New("written by a newer apt-be")
)
