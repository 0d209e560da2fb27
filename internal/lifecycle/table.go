package lifecycle

import (
	"context"
	"slices"
)

// State is the state of an environment in the life cycle. It follows from the record, the
// boot loader and the marks of a wanted trial.
type State string

// The states.
const (
	Ready    State = "ready"     // complete; a user made it
	Upgraded State = "upgraded"  // complete; an upgrade made it, and it lacks later changes of the running system
	Wanted   State = "wanted"    // the next shutdown syncs it and arms its trial
	Armed    State = "armed"     // the next boot tries it
	Trying   State = "trying"    // it runs on trial
	Blessed  State = "blessed"   // it was healthy
	FellBack State = "fell-back" // the machine fell back from it
	Stale    State = "stale"     // packages of the running system changed since it was made
	Unusable State = "unusable"  // its upgrade failed, or its record is unreadable
)

// Event is an event in the life of an environment.
type Event string

// The events.
const (
	Activate        Event = "activate"         // a user or an upgrade arms a trial
	Choose          Event = "choose"           // a user makes it the default without a trial
	Cancel          Event = "cancel"           // a user cancels its trial
	Shutdown        Event = "shutdown"         // the services have stopped, and the machine goes to it
	BootUnsynced    Event = "boot unsynced"    // it boots without the changes of its origin: a user picked it in the menu
	BootOnTrial     Event = "boot on trial"    // it boots, and this boot is its trial
	OtherBoots      Event = "other boots"      // its trial was taken, and another environment runs
	Healthy         Event = "healthy"          // all health checks have passed
	Unhealthy       Event = "unhealthy"        // a health check failed, or the deadline has passed
	PackagesChanged Event = "packages changed" // packages of its origin changed
	Replay          Event = "replay"           // the package changes of its origin are repeated in it
)

// Same is the To of a transition that keeps the state; of Cancel, that restores the state
// before Activate.
const Same State = ""

// Transition is a row of the table: in one of the states From, the event runs the steps,
// and leads to the state To. If a step fails, the steps OnError follow.
type Transition struct {
	From    []State
	Event   Event
	Steps   []Step
	To      State
	OnError []Step
}

// Step is a step of a transition. It is safe to crash before and after each step: the
// next boot finds one of the states of the table.
type Step struct {
	Name string
	do   func(context.Context, *Lifecycle, *work) error
}

// The steps. Their code is in steps.go.
var (
	arm            = Step{"arm the trial", doArm}
	choose         = Step{"set the default", doChoose}
	beginSync      = Step{"disarm for the sync", doBeginSync}
	syncTarget     = Step{"sync", doSync}
	syncCopy       = Step{"sync a copy of the running root", doSyncCopy}
	snapshotShares = Step{"snapshot the shares", doSnapshotShares}
	addLayers      = Step{"add files to other file systems", doAddLayers}
	confirm        = Step{"confirm the trial", doConfirm}
	stay           = Step{"stay with the running system", doStay}
	armAgain       = Step{"arm the trial again", doArmAgain}
	leave          = Step{"reboot", doLeave}
	leaveOrStay    = Step{"reboot, or continue without a sync", doLeaveOrStay}
	startTrial     = Step{"start the watchdog and the deadline", doStartTrial}
	keepJournal    = Step{"keep the journal", doKeepJournal}
	bless          = Step{"make it the default", doBless}
	endTrial       = Step{"stop the watchdog and the deadline", doEndTrial}
	recordFault    = Step{"record the fault", doRecordFault}
	unprepare      = Step{"cancel a kexec or soft-reboot", doUnprepare}
	deactivate     = Step{"disarm, and restore the default", doDeactivate}
	disarm         = Step{"disarm the trial", doDisarm}
	markStale      = Step{"record the state stale", doMarkStale}
	replay         = Step{"sync, and repeat the package changes", doReplay}
)

// table is the life cycle of boot environments. The states of BootOnTrial and OtherBoots
// are those before the boot: activation.Boot judges all trials of a boot together, records
// the states trying and fell-back, and completes interrupted transitions.
var table = []Transition{
	{[]State{Upgraded, Wanted}, Activate, []Step{arm}, Wanted, nil},
	{[]State{Ready, Armed, Blessed, FellBack, Stale}, Activate, []Step{arm}, Armed, nil},
	{[]State{Trying}, Activate, []Step{arm}, Trying, nil},
	{[]State{Blessed, Ready, Upgraded, Trying, Armed, FellBack, Stale}, Choose, []Step{choose}, Same, nil},

	{[]State{Wanted}, Shutdown, []Step{beginSync, syncTarget, snapshotShares, addLayers, confirm}, Armed, []Step{stay}},
	{[]State{Armed}, Shutdown, []Step{snapshotShares, addLayers, confirm}, Armed, []Step{stay}},
	{[]State{Blessed, Ready, Upgraded, Trying, FellBack, Stale, Unusable}, Shutdown, []Step{snapshotShares, addLayers}, Same, nil},

	{[]State{Upgraded}, BootUnsynced, []Step{armAgain, syncCopy, snapshotShares, addLayers, confirm, leave}, Armed, []Step{leaveOrStay}},
	{[]State{Trying}, BootOnTrial, []Step{addLayers, startTrial}, Trying, nil},
	{[]State{FellBack}, OtherBoots, []Step{keepJournal}, FellBack, nil},

	{[]State{Trying}, Healthy, []Step{bless, endTrial}, Blessed, nil},
	{[]State{Trying}, Unhealthy, []Step{recordFault}, Trying, nil},

	{[]State{Wanted, Armed}, Cancel, []Step{unprepare, deactivate}, Same, nil},
	{[]State{Wanted, Armed}, PackagesChanged, []Step{unprepare, disarm, markStale}, Stale, nil},
	{[]State{Upgraded}, PackagesChanged, []Step{markStale}, Stale, nil},
	{[]State{Upgraded, Stale}, Replay, []Step{replay}, Upgraded, nil},
	{[]State{Wanted}, Replay, []Step{replay}, Wanted, nil},
}

// find returns the transition from a state for an event; nil if there is none.
func find(from State, event Event) *Transition {
	for i, t := range table {
		if t.Event == event && slices.Contains(t.From, from) {
			return &table[i]
		}
	}
	return nil
}
