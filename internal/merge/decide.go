package merge

import "strings"

// Action is what a rule says about a path that the live side changed.
type Action string

// The actions of a synclist.
const (
	Overwrite Action = "OVERWRITE" // the live side's, whatever the other did
	Append    Action = "APPEND"    // what the live side wrote, after what the other has
	Prepend   Action = "PREPEND"   // before it
	Merge     Action = "MERGE"     // entry by entry or line by line, where the format is known
	Upgrade   Action = "UPGRADE"   // the live side's, but for what the other changed as well
	Ignore    Action = "IGNORE"    // the other side's
)

// File says what kind of a file a path is to the system, apart from rules.
type File int

// Files that no package has, and that are no settings, are Data.
const (
	Data     File = iota
	Setting       // below /etc, and not a conffile
	Conffile      // dpkg knows it as one
	Packaged      // belongs to a package that has it from its archive
	Derived       // can be made anew from others, such as a cache, or follows from what packages have
)

// Source says where a node of the result comes from.
type Source int

// Of the three, the zero value changes nothing.
const (
	FromTarget  Source = iota // stays as it is
	FromRunning               // is carried over, or deleted as it was there
	FromMerged                // is put together from both
)

// Decision is what becomes of a path.
type Decision struct {
	Source      Source     // content and kind
	Attributes  Attributes // what the result has, if it is there
	Action      Action     // with FromMerged: how
	KeepTarget  bool       // what the new side has is kept beside it
	KeepRunning bool       // what the live side has is put beside what the new side has, which stays
	Refused     bool       // nobody but the admin can decide
	Uncopyable  bool       // it can't be compared or carried over, and the new side's stays
	Conflict    string     // for a report: what clashes, "" if nothing does
}

// Changes says whether anything is to be done.
func (d Decision) Changes(target Node) bool {
	return d.Source != FromTarget || d.KeepRunning || target.Kind != Missing && !d.Attributes.same(target.Attributes)
}

// Decide says what becomes of a path, given its three versions, what it is, and
// the action of the rule for it, "" if there is none. Whatever the base and the new
// side agree on is the live side's to change, whoever owns it, but for a rule that
// says otherwise.
func Decide(base, running, target Node, file File, action Action) Decision {
	stays := Decision{Attributes: target.Attributes}
	switch {
	case running.Same(base) || running.Same(target) || action == Ignore:
		return stays
	case target.Same(base) || action == Overwrite && file != Packaged:
		return Decision{Source: FromRunning, Attributes: running.Attributes}
	case running.sameThing(base) && target.Kind != Missing, running.sameThing(target):
		return writtenInPlace(running, target, attributesOnly(base, running, target))
	}
	if running.Kind != Missing && target.sameThing(base) {
		d := Decision{Attributes: running.Attributes}
		if running.Kind == target.Kind {
			d = attributesOnly(base, running, target)
		}
		d.Source = FromRunning
		return d
	}
	if target.Kind == Regular && (action == Append || action == Prepend || action == Merge) {
		if running.Kind == Regular {
			d := attributesOnly(base, running, target)
			d.Source, d.Action = FromMerged, action
			return d
		}
		if running.Kind == Missing && base.Kind == Regular && action == Append {
			// It was moved away, as logs are: what the other side added is all.
			return Decision{Source: FromMerged, Action: action, Attributes: target.Attributes}
		}
	}
	why := conflictOf(base, running, target)
	switch {
	case file == Packaged:
		return ofPackage(base, running, target, why)
	case action == Upgrade:
		return stays
	case file == Derived:
		stays.Conflict = why + "; it is made from other files, or of the packages: the environment's stays"
		return stays
	case target.Kind == Missing:
		// An edited file outlives that the package dropped it.
		return Decision{Source: FromRunning, Attributes: running.Attributes, Conflict: why}
	case file == Data && running.Kind != Missing:
		stays.Refused, stays.Conflict = true, why
		return stays
	default:
		return Decision{Source: FromRunning, Attributes: running.Attributes, KeepTarget: target.Kind != Directory, Conflict: why}
	}
}

// ofPackage leaves a package's file that both sides changed to the package, but for
// what an admin may give it. What the admin made of it is kept beside it.
func ofPackage(base, running, target Node, why string) Decision {
	d := Decision{Attributes: target.Attributes, Conflict: why + "; it is a package's: the environment's stays"}
	switch running.Kind {
	case Missing:
		return d
	case Directory:
		d.Refused, d.Conflict = true, why
		return d
	case target.Kind:
		merged := attributesOnly(base, running, target)
		d.Attributes = merged.Attributes
	}
	d.KeepRunning = true
	d.Conflict += ", and the running system's is put beside it"
	return d
}

// attributesOnly leaves the new side's content and merges the rest.
func attributesOnly(base, running, target Node) Decision {
	merged, conflicts := mergeAttributes(base.Attributes, running.Attributes, target.Attributes)
	d := Decision{Attributes: merged}
	if len(conflicts) > 0 {
		d.Conflict = "both changed its " + strings.Join(conflicts, ", ")
	}
	return d
}

// writtenInPlace has a file written anew that is to get or to lose chattr(1)'s C,
// which is not to be had otherwise.
func writtenInPlace(running, target Node, d Decision) Decision {
	switch {
	case target.Kind != Regular || (d.Attributes.Flags^target.Flags)&nocow == 0:
	case running.sameThing(target):
		d.Source = FromRunning
	default:
		d.Attributes.Flags = target.Flags
		d.Conflict = "the running system changed whether it is written in place (chattr +C), the environment its content"
	}
	return d
}

func conflictOf(base, running, target Node) string {
	switch {
	case base.Kind == Missing:
		return "both added it"
	case running.Kind == Missing:
		return "deleted in the running system, changed in the environment"
	case target.Kind == Missing:
		return "changed in the running system, deleted in the environment"
	case running.Kind != target.Kind:
		return "it is " + running.Kind.String() + " in the running system and " + target.Kind.String() + " in the environment"
	default:
		return "both changed it"
	}
}
