package redirect

import (
	"time"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
)

// Job is a run of a frontend that goes into a new boot environment.
type Job struct {
	Frontend    Frontend
	Argv        []string      // what the user typed, argv[0] included
	Made        be.Creator    // be.Redirect or be.Command
	Name        string        // of the environment; "" for an automatic one
	LockTimeout time.Duration // how long to wait for dpkg's locks; negative: for ever
	LeaveOut    []string      // globs of nested subvolumes that are not copied
	// AllowOutside are mount points on which files of upgraded packages may keep
	// their old version.
	AllowOutside []string
	Reads        Places        // what the frontend reads, besides files that Argv names
	Settings     Settings      // that the frontend has and others don't
	Activate     bool          // the next boot takes what it made, on trial
	Deadline     time.Duration // of that trial
	Speed        aptconf.Speed
	Reboot       Reboot // unattended-upgrade's
}
