package merge

import "strings"

// Action is the action of a rule for a path that the running system changed.
type Action string

// The actions of a synclist.
const (
	Overwrite Action = "OVERWRITE" // the running system's version, whatever the target did
	Append    Action = "APPEND"    // the running system's additions, after the target's content
	Prepend   Action = "PREPEND"   // the running system's additions, before the target's content
	Merge     Action = "MERGE"     // entry by entry or line by line, for known formats
	Upgrade   Action = "UPGRADE"   // the running system's version, except for paths that the target changed, too
	Ignore    Action = "IGNORE"    // the target's version
)

// File is the kind of a file, apart from rules.
type File int

// Files that belong to no package and are not settings are Data.
const (
	Data     File = iota
	Setting       // below /etc, and not a conffile
	Conffile      // a conffile of dpkg
	Packaged      // installed from a package's archive
	Derived       // can be generated from other files, such as a cache, or depends on packages' files
)

// Source is the version from which a node of the result is taken.
type Source int

// The zero value changes nothing.
const (
	FromTarget  Source = iota // unchanged
	FromRunning               // carried, or deleted
	FromMerged                // merged from both
)

// Decision is the decision for a path.
type Decision struct {
	Source      Source     // the source of content and kind
	Attributes  Attributes // the attributes of the result, if it exists
	Action      Action     // with FromMerged: how to merge
	KeepTarget  bool       // the target's version is kept beside the result
	KeepRunning bool       // the running system's version is put beside the target's, which stays
	Refused     bool       // only the administrator can decide
	Uncopyable  bool       // it cannot be compared or carried; the target's version stays
	Conflict    string     // the reason of a conflict, for reports; "" if there is none
}

// Changes reports whether the decision changes the target.
func (d Decision) Changes(target Node) bool {
	return d.Source != FromTarget || d.KeepRunning || target.Kind != Missing && !d.Attributes.same(target.Attributes)
}

// Decide makes the decision for a path from its three versions, its kind, and the
// action of its rule ("" for none). If base and target are equal, the running system's
// version wins, whoever owns the file, unless a rule says otherwise.
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
			// The file was moved away, like a rotated log: only the target's additions
			// remain.
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
		stays.Conflict = why + "; it is generated from other files or packages: the boot environment's version stays"
		return stays
	case target.Kind == Missing:
		// An edited file stays although the package dropped it.
		return Decision{Source: FromRunning, Attributes: running.Attributes, Conflict: why}
	case file == Data && running.Kind != Missing:
		stays.Refused, stays.Conflict = true, why
		return stays
	default:
		return Decision{Source: FromRunning, Attributes: running.Attributes, KeepTarget: target.Kind != Directory, Conflict: why}
	}
}

// ofPackage decides about a package's file that both sides changed: the target's
// version stays, with the attributes that an administrator may set. The running
// system's version is kept beside it.
func ofPackage(base, running, target Node, why string) Decision {
	d := Decision{Attributes: target.Attributes, Conflict: why + "; it belongs to a package: the boot environment's version stays"}
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
	d.Conflict += ", and the running system's version is put beside it"
	return d
}

// attributesOnly keeps the target's content and merges the attributes.
func attributesOnly(base, running, target Node) Decision {
	merged, conflicts := mergeAttributes(base.Attributes, running.Attributes, target.Attributes)
	d := Decision{Attributes: merged}
	if len(conflicts) > 0 {
		d.Conflict = "both changed its " + strings.Join(conflicts, ", ")
	}
	return d
}

// writtenInPlace makes Apply write a file anew if its attribute C (chattr(1)) changes,
// because only an empty file can change it.
func writtenInPlace(running, target Node, d Decision) Decision {
	switch {
	case target.Kind != Regular || (d.Attributes.Flags^target.Flags)&nocow == 0:
	case running.sameThing(target):
		d.Source = FromRunning
	default:
		d.Attributes.Flags = target.Flags
		d.Conflict = "the running system changed the attribute NOCOW (chattr +C), the boot environment the content"
	}
	return d
}

func conflictOf(base, running, target Node) string {
	switch {
	case base.Kind == Missing:
		return "both added it"
	case running.Kind == Missing:
		return "deleted in the running system, changed in the boot environment"
	case target.Kind == Missing:
		return "changed in the running system, deleted in the boot environment"
	case running.Kind != target.Kind:
		return "it is " + running.Kind.String() + " in the running system and " + target.Kind.String() + " in the boot environment"
	default:
		return "both changed it"
	}
}
