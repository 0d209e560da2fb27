package health

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// properties are the properties that are read of each unit. See
// org.freedesktop.systemd1(5); systemd 252 has all of them.
const properties = "Id,Names,LoadState,ActiveState,Type,UnitFileState,Transient,Job,ConditionResult,ConditionTimestampMonotonic,Result," +
	"ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic,WantedBy,RequiredBy,TriggeredBy,After,What"

// unit has the properties of a unit.
type unit map[string]string

func (u unit) id() string             { return u["Id"] }
func (u unit) list(p string) []string { return strings.Fields(u[p]) }
func (u unit) state() string          { return u["ActiveState"] }
func (u unit) never(p string) bool    { return u[p] == "" || u[p] == "0" }
func (u unit) isAny(suf ...string) bool {
	return slices.ContainsFunc(suf, func(s string) bool { return strings.HasSuffix(u.id(), s) })
}

// parse reads the output of systemctl show: a paragraph for each unit, a line for each
// property.
func parse(shown string) []unit {
	var units []unit
	for _, paragraph := range strings.Split(shown, "\n\n") {
		u := unit{}
		for _, line := range strings.Split(paragraph, "\n") {
			if property, value, ok := strings.Cut(line, "="); ok {
				u[property] = value
			}
		}
		if u.id() != "" {
			units = append(units, u)
		}
	}
	return units
}

// incidental are name prefixes of units that depend on users and terminals, and of
// apt-be's own.
var incidental = [...]string{
	"getty@", "serial-getty@", "console-getty.", "container-getty@", "autovt@",
	"user@", "user-runtime-dir@", "session-", "run-", "apt-be-",
}

// expected reports whether a boot of the system starts u. It does not start a disabled,
// masked or missing unit, or one that a timer, a socket, D-Bus or a user starts.
func (u unit) expected() bool {
	if slices.ContainsFunc(incidental[:], func(prefix string) bool { return strings.HasPrefix(u.id(), prefix) }) {
		return false
	}
	if u["LoadState"] != "loaded" || u["Transient"] == "yes" || len(u.list("WantedBy"))+len(u.list("RequiredBy")) == 0 {
		return false
	}
	switch u["UnitFileState"] {
	case "enabled", "enabled-runtime", "static", "generated", "linked", "linked-runtime", "alias":
		return true
	}
	return false
}

// onDemand reports whether an event other than the boot starts u: such a unit may end
// when it has no work.
func (u unit) onDemand() bool { return len(u.list("TriggeredBy")) > 0 }

// timed reports whether a timer starts u, so its start does not depend on the boot.
func (u unit) timed() bool {
	return slices.ContainsFunc(u.list("TriggeredBy"), func(by string) bool { return strings.HasSuffix(by, ".timer") })
}

// waitsForUs reports whether u waits for the units that check the health of a boot
// (hooks/systemd), so it cannot start before they end.
func (u unit) waitsForUs() bool {
	return u.state() == "inactive" && !u.never("Job") && slices.ContainsFunc(u.list("After"), func(name string) bool {
		return name == "boot-complete.target" || strings.HasPrefix(name, "apt-be-")
	})
}

// current returns the state of a system's units.
func current(units []unit) be.Units {
	var now be.Units
	for _, u := range units {
		switch {
		case u.state() == "failed":
			now.Failed = append(now.Failed, u.id())
		case u.state() == "active" && u.isAny(".service") && u["Type"] != "oneshot" && u.expected():
			now.Active = append(now.Active, u.id())
		}
	}
	slices.Sort(now.Active)
	slices.Sort(now.Failed)
	return now
}

// verdict is the judgement of a system's units.
type verdict struct {
	faults  []string // sentences
	pending []string // names of units that cannot be judged yet
	// since has the times, as systemd writes them, at which the earlier services became
	// active. A restarted service has another time.
	since map[string]string
}

// lacksFile reports whether u is a swap file that does not exist. A boot environment
// has none if there was no space for its copy, and its creator was told.
func (u unit) lacksFile() bool {
	file := u["What"]
	if !u.isAny(".swap") || !strings.HasPrefix(file, "/") || strings.HasPrefix(file, "/dev/") {
		return false
	}
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// compare compares the units of a system with those of another one.
func compare(before be.Units, units []unit) verdict {
	v := verdict{since: map[string]string{}}
	for _, u := range unique(units) {
		ran := slices.ContainsFunc(u.names(), func(name string) bool { return slices.Contains(before.Active, name) })
		hadFailed := slices.ContainsFunc(u.names(), func(name string) bool { return slices.Contains(before.Failed, name) })
		if !u.expected() || u.timed() && !ran || u.lacksFile() {
			continue
		}
		switch state := u.state(); {
		case state == "failed" && ran:
			v.faults = append(v.faults, u.id()+" failed (it was active before)")
		case state == "failed" && !hadFailed:
			v.faults = append(v.faults, u.id()+" failed")
		case state == "failed", !ran, u.waitsForUs():
		case state == "activating", state == "deactivating", state == "inactive" && !u.never("Job"):
			v.pending = append(v.pending, u.id())
		case state == "inactive" && !u.excused():
			v.faults = append(v.faults, u.id()+" is not active (it was active before)")
		default:
			v.since[u.id()] = u["ActiveEnterTimestampMonotonic"]
		}
	}
	return v
}

// moved returns the names of the units that differ from an earlier verdict.
func (v verdict) moved(earlier verdict) []string {
	var names []string
	for name, since := range v.since {
		if earlier.since[name] != since {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// excused reports whether u may be inactive: its conditions prevent its start here, or
// it has finished and starts again on demand.
func (u unit) excused() bool {
	started := !u.never("InactiveExitTimestampMonotonic")
	if !started {
		return u["ConditionResult"] == "no" && !u.never("ConditionTimestampMonotonic")
	}
	return u.onDemand() && u["Result"] == "success"
}

func (u unit) names() []string { return append(u.list("Names"), u.id()) }

// unique returns each unit once, sorted by name.
func unique(units []unit) []unit {
	units = slices.Clone(units)
	slices.SortStableFunc(units, func(a, b unit) int { return strings.Compare(a.id(), b.id()) })
	return slices.CompactFunc(units, func(a, b unit) bool { return a.id() == b.id() })
}
