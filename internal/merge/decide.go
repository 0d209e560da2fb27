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
	FromNext   Source = iota // stays as it is
	FromLive                 // is carried over, or deleted as it was there
	FromMerged               // is put together from both
)

// Decision is what becomes of a path.
type Decision struct {
	Thing      Source     // content and kind
	Attributes Attributes // what the result has, if it is there
	Action     Action     // with FromMerged: how
	Aside      bool       // what the new side has is kept beside it
	Beside     bool       // what the live side has is put beside what the new side has, which stays
	Refused    bool       // nobody but the admin can decide
	Unable     bool       // it can't be compared or carried over, and the new side's stays
	Why        string     // for a report: what clashes, "" if nothing does
}

// Changes says whether anything is to be done.
func (d Decision) Changes(next Node) bool {
	return d.Thing != FromNext || d.Beside || next.Kind != Missing && !d.Attributes.same(next.Attributes)
}

// Decide says what becomes of a path, given its three versions, what it is, and
// the action of the rule for it, "" if there is none. Whatever the base and the new
// side agree on is the live side's to change, whoever owns it, but for a rule that
// says otherwise.
func Decide(base, live, next Node, file File, action Action) Decision {
	stays := Decision{Attributes: next.Attributes}
	switch {
	case live.Same(base) || live.Same(next) || action == Ignore:
		return stays
	case next.Same(base) || action == Overwrite && file != Packaged:
		return Decision{Thing: FromLive, Attributes: live.Attributes}
	case live.sameThing(base) && next.Kind != Missing, live.sameThing(next):
		return writtenInPlace(live, next, attributesOnly(base, live, next))
	}
	if live.Kind != Missing && next.sameThing(base) {
		d := Decision{Attributes: live.Attributes}
		if live.Kind == next.Kind {
			d = attributesOnly(base, live, next)
		}
		d.Thing = FromLive
		return d
	}
	if next.Kind == Regular && (action == Append || action == Prepend || action == Merge) {
		if live.Kind == Regular {
			d := attributesOnly(base, live, next)
			d.Thing, d.Action = FromMerged, action
			return d
		}
		if live.Kind == Missing && base.Kind == Regular && action == Append {
			// It was moved away, as logs are: what the other side added is all.
			return Decision{Thing: FromMerged, Action: action, Attributes: next.Attributes}
		}
	}
	why := clash(base, live, next)
	switch {
	case file == Packaged:
		return ofPackage(base, live, next, why)
	case action == Upgrade:
		return stays
	case file == Derived:
		stays.Why = why + "; it is made from other files, or of the packages: the environment's stays"
		return stays
	case next.Kind == Missing:
		// An edited file outlives that the package dropped it.
		return Decision{Thing: FromLive, Attributes: live.Attributes, Why: why}
	case file == Data && live.Kind != Missing:
		stays.Refused, stays.Why = true, why
		return stays
	default:
		return Decision{Thing: FromLive, Attributes: live.Attributes, Aside: next.Kind != Directory, Why: why}
	}
}

// ofPackage leaves a package's file that both sides changed to the package, but for
// what an admin may give it. What the admin made of it is kept beside it.
func ofPackage(base, live, next Node, why string) Decision {
	d := Decision{Attributes: next.Attributes, Why: why + "; it is a package's: the environment's stays"}
	switch live.Kind {
	case Missing:
		return d
	case Directory:
		d.Refused, d.Why = true, why
		return d
	case next.Kind:
		merged := attributesOnly(base, live, next)
		d.Attributes = merged.Attributes
	}
	d.Beside = true
	d.Why += ", and the running system's is put beside it"
	return d
}

// attributesOnly leaves the new side's content and merges the rest.
func attributesOnly(base, live, next Node) Decision {
	merged, clashes := mergeAttributes(base.Attributes, live.Attributes, next.Attributes)
	d := Decision{Attributes: merged}
	if len(clashes) > 0 {
		d.Why = "both changed its " + strings.Join(clashes, ", ")
	}
	return d
}

// writtenInPlace has a file written anew that is to get or to lose chattr(1)'s C,
// which is not to be had otherwise.
func writtenInPlace(live, next Node, d Decision) Decision {
	switch {
	case next.Kind != Regular || (d.Attributes.Flags^next.Flags)&nocow == 0:
	case live.sameThing(next):
		d.Thing = FromLive
	default:
		d.Attributes.Flags = next.Flags
		d.Why = "the running system changed whether it is written in place (chattr +C), the environment its content"
	}
	return d
}

func clash(base, live, next Node) string {
	switch {
	case base.Kind == Missing:
		return "both added it"
	case live.Kind == Missing:
		return "deleted in the running system, changed in the environment"
	case next.Kind == Missing:
		return "changed in the running system, deleted in the environment"
	case live.Kind != next.Kind:
		return "it is " + live.Kind.String() + " in the running system and " + next.Kind.String() + " in the environment"
	default:
		return "both changed it"
	}
}
