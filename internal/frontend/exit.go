package frontend

import (
	"time"

	"github.com/apt-be/apt-be/aptconf"
)

// FailureCode returns the exit status of a frontend after dpkg failed.
func (f Frontend) FailureCode() int {
	switch f {
	case Aptitude:
		return 255 // its main returns -1
	case UnattendedUpgrade:
		return 1
	}
	return 100
}

// LockTimeout returns how long a frontend waits for dpkg's locks; negative means for
// ever. terminal says that its standard output is a terminal. apt waits by default, the
// others do not (apt-private/private-cmndline.cc).
func LockTimeout(f Frontend, conf aptconf.Config, terminal bool) time.Duration {
	timeout := 0
	if f == Apt {
		timeout = 120
		if terminal {
			timeout = -1
		}
	}
	return time.Duration(conf.Int("DPkg::Lock::Timeout", timeout)) * time.Second
}
