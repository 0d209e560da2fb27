package redirect

import (
	"time"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
)

// Job is a run of a frontend in a new boot environment.
type Job struct {
	Frontend    Frontend
	Argv        []string      // the user's command line, with argv[0]
	Made        be.Creator    // be.Redirect or be.Command
	Name        string        // the name of the environment; "" for an automatic name
	LockTimeout time.Duration // how long to wait for dpkg's locks; negative: for ever
	LeaveOut    []string      // globs of nested subvolumes that are not copied
	// AllowOutside are mount points on which files of upgraded packages may keep the
	// old version.
	AllowOutside []string
	Reads        Places        // the files that the frontend reads, besides those that Argv names
	Settings     Settings      // the frontend's additions to apt's configuration
	Activate     bool          // arm a trial of the new environment
	Deadline     time.Duration // the deadline of the trial
	Speed        aptconf.Speed
	Reboot       Reboot // unattended-upgrade's reboot policy
}
