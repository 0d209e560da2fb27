package upgrade

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/report"
)

// Job is a run of a frontend in a new boot environment.
type Job struct {
	Frontend    frontend.Frontend
	Argv        []string      // the user's command line, with argv[0]
	Made        be.Creator    // be.Redirect or be.Command
	Name        string        // the name of the environment; "" for an automatic name
	LockTimeout time.Duration // how long to wait for dpkg's locks; negative: for ever
	LeaveOut    []string      // globs of nested subvolumes that are not copied
	// AllowOutside are mount points on which files of upgraded packages may keep the
	// old version.
	AllowOutside []string
	Reads        inside.Places   // the files that the frontend reads, besides those that Argv names
	Settings     inside.Settings // the frontend's additions to apt's configuration
	Activate     bool            // arm a trial of the new environment
	Deadline     time.Duration   // the deadline of the trial
	Speed        aptconf.Speed
	Reboot       report.Reboot // unattended-upgrade's reboot policy
}

// LeaveOut is the setting with the globs of nested subvolumes that are not copied.
const LeaveOut = "Apt-Be::Nested::Leave-Out"

// JobOf returns the job for a command line, with the policy in the frontend's
// configuration. It fails if the policy is invalid.
func JobOf(inv frontend.Invocation, argv []string, conf aptconf.Config, made be.Creator) (Job, error) {
	policy, err := conf.Policy()
	if err != nil {
		return Job{}, err
	}
	return Job{
		Frontend:     inv.Frontend,
		Argv:         argv,
		Made:         made,
		LockTimeout:  frontend.LockTimeout(inv.Frontend, conf, isTerminal(os.Stdout)),
		LeaveOut:     conf.List(LeaveOut),
		AllowOutside: conf.List(parts.AllowOutside),
		Reads:        inside.ReadsOf(inv, conf),
		Settings:     inside.SettingsOf(inv),
		Activate:     policy.Activate,
		Deadline:     policy.Deadline,
		Speed:        policy.Speed,
		Reboot:       report.RebootPolicy(inv.Frontend, conf),
	}, nil
}

// run returns the run of the frontend in a root.
func (j Job) run() inside.Run {
	return inside.Run{Frontend: j.Frontend, Argv: j.Argv, Reads: j.Reads, Speed: j.Speed, AllowOutside: j.AllowOutside}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
