package redirect

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/sandbox"
)

// Outcome is how a frontend ended that ran in a new boot environment.
type Outcome struct {
	Frontend Frontend
	ExitCode int // if Signal is 0
	Signal   int // that killed it; 0 if it exited
	// Changed says that the package database of the boot environment is not
	// as it was in the snapshot.
	Changed bool
	// Healthy says that the packages are in no worse state than before.
	Healthy bool
	// HistoryError says that apt's history.log has a new Error: entry.
	HistoryError bool
}

// State is what becomes of a boot environment after its frontend ended. The
// zero State is Failed.
type State int

// The states.
const (
	Failed  State = iota // keep it for inspection
	Discard              // delete it: nothing was done
	Ready                // commit it
)

// String names a state.
func (s State) String() string {
	switch s {
	case Failed:
		return "failed"
	case Discard:
		return "discard"
	case Ready:
		return "ready"
	}
	return "unknown state"
}

// Verdict is the judgement on an outcome.
type Verdict struct {
	State State
	// ExitCode is what to exit with. If Signal is not 0, the wrapper is to
	// kill itself with that signal, as the frontend died, and ExitCode is
	// what a shell makes of it, 128+Signal.
	ExitCode int
	Signal   int
	Reason   string // a sentence for the user
}

// failureCode is what a frontend exits with when dpkg failed.
func (f Frontend) failureCode() int {
	switch f {
	case Aptitude:
		return 255 // its main returns -1
	case UnattendedUpgrade:
		return 1
	}
	return 100
}

// failedVerdict is that on a root that could not be made again what its packages
// have made of it.
func failedVerdict(f Frontend, result sandbox.Result, why error) Verdict {
	v := Judge(Outcome{Frontend: f, ExitCode: result.ExitCode, Signal: int(result.Signal), Changed: true})
	v.Reason = why.Error()
	return v
}

// Judge tells what becomes of a boot environment. The exit status alone says
// too little: apt exits with 0 after Ctrl-C although packages are left
// unpacked, and unattended-upgrade with 1 after a good run that kept back a
// package. So what is in the package database counts too, and the exit code is
// never 0 for an upgrade that is half done.
func Judge(o Outcome) Verdict {
	v := Verdict{State: Failed, ExitCode: o.ExitCode, Signal: o.Signal}
	if o.Signal != 0 {
		v.ExitCode = 128 + o.Signal
	}
	if v.ExitCode < 0 || v.ExitCode > 255 {
		// no process exits so: what is known is that this is no success
		v.ExitCode = o.Frontend.failureCode()
	}
	good := o.Signal == 0 && (o.ExitCode == 0 || o.ExitCode == 1 && o.Frontend == UnattendedUpgrade)
	switch {
	case !o.Changed:
		v.State = Discard
		v.Reason = fmt.Sprintf("%s changed no package", o.Frontend)
		return v
	case good && o.Healthy && !o.HistoryError:
		v.State = Ready
		v.Reason = fmt.Sprintf("%s is done", o.Frontend)
		if o.ExitCode != 0 {
			v.Reason = fmt.Sprintf("%s is done, but for what it says itself", o.Frontend)
		}
		return v
	case o.Signal != 0:
		v.Reason = fmt.Sprintf("%s was killed by signal %d", o.Frontend, o.Signal)
	case !o.Healthy && o.ExitCode == 0:
		v.Reason = fmt.Sprintf("%s exited with 0, but left packages that are not installed whole", o.Frontend)
	case !o.Healthy:
		v.Reason = fmt.Sprintf("%s exited with %d and left packages that are not installed whole", o.Frontend, o.ExitCode)
	case o.HistoryError:
		v.Reason = fmt.Sprintf("%s exited with %d, and its history.log tells of an error", o.Frontend, o.ExitCode)
	default:
		v.Reason = fmt.Sprintf("%s exited with %d", o.Frontend, o.ExitCode)
	}
	if v.ExitCode == 0 {
		v.ExitCode = o.Frontend.failureCode()
	}
	return v
}
