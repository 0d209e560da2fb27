package upgrade

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Outcome is the end of a frontend that ran in a new boot environment.
type Outcome struct {
	Frontend frontend.Frontend
	ExitCode int // valid if Signal is 0
	Signal   int // the signal that killed the frontend; 0 if it exited
	// Changed is true if the package database differs from the snapshot's.
	Changed bool
	// Healthy is true if no package is in a worse state than before.
	Healthy bool
	// HistoryError is true if apt's history.log has a new Error: entry.
	HistoryError bool
}

// State is the result for a build after its frontend ended. The zero value is Failed.
type State int

// The states.
const (
	Failed  State = iota // keep it for inspection
	Discard              // delete it: nothing changed
	Ready                // commit it
)

// String returns the name of a state.
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

// Verdict is the judgement of an outcome.
type Verdict struct {
	State State
	// ExitCode is the exit status of the wrapper. If Signal is not 0, the wrapper kills
	// itself with that signal, like the frontend, and ExitCode is the status in a
	// shell's form, 128+Signal.
	ExitCode int
	Signal   int
	Reason   string // a sentence for the user
}

// failedVerdict is the verdict for a root whose temporary changes could not be undone.
func failedVerdict(f frontend.Frontend, result sandbox.Result, why error) Verdict {
	v := Judge(Outcome{Frontend: f, ExitCode: result.ExitCode, Signal: int(result.Signal), Changed: true})
	v.Reason = why.Error()
	return v
}

// Judge decides what happens to a build. The exit status alone is not sufficient: apt
// exits with 0 after Ctrl-C although packages are only unpacked, and unattended-upgrade
// exits with 1 after a good run that kept back a package. So the package database
// counts, too, and the exit status is never 0 for a half-done upgrade.
func Judge(o Outcome) Verdict {
	v := Verdict{State: Failed, ExitCode: o.ExitCode, Signal: o.Signal}
	if o.Signal != 0 {
		v.ExitCode = 128 + o.Signal
	}
	if v.ExitCode < 0 || v.ExitCode > 255 {
		// no process exits with such a status; it is only known that it is not a
		// success
		v.ExitCode = o.Frontend.FailureCode()
	}
	good := o.Signal == 0 && (o.ExitCode == 0 || o.ExitCode == 1 && o.Frontend == frontend.UnattendedUpgrade)
	switch {
	case !o.Changed:
		v.State = Discard
		v.Reason = fmt.Sprintf("%s changed no package", o.Frontend)
		return v
	case good && o.Healthy && !o.HistoryError:
		v.State = Ready
		v.Reason = fmt.Sprintf("%s is done", o.Frontend)
		if o.ExitCode != 0 {
			v.Reason = fmt.Sprintf("%s is done, except for the packages that it reported", o.Frontend)
		}
		return v
	case o.Signal != 0:
		v.Reason = fmt.Sprintf("%s was killed by signal %d", o.Frontend, o.Signal)
	case !o.Healthy && o.ExitCode == 0:
		v.Reason = fmt.Sprintf("%s exited with 0, but left incompletely installed packages", o.Frontend)
	case !o.Healthy:
		v.Reason = fmt.Sprintf("%s exited with %d and left incompletely installed packages", o.Frontend, o.ExitCode)
	case o.HistoryError:
		v.Reason = fmt.Sprintf("%s exited with %d, and apt's history.log has an error", o.Frontend, o.ExitCode)
	default:
		v.Reason = fmt.Sprintf("%s exited with %d", o.Frontend, o.ExitCode)
	}
	if v.ExitCode == 0 {
		v.ExitCode = o.Frontend.FailureCode()
	}
	return v
}
