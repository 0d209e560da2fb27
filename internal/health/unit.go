package health

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// properties are those of units that are looked at. See
// org.freedesktop.systemd1(5); all of them are there in systemd 252.
const properties = "Id,Names,LoadState,ActiveState,Type,UnitFileState,Transient,Job,ConditionResult,ConditionTimestampMonotonic,Result," +
	"ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic,WantedBy,RequiredBy,TriggeredBy,After,What"

// unit is a unit's properties.
type unit map[string]string

func (u unit) id() string             { return u["Id"] }
func (u unit) list(p string) []string { return strings.Fields(u[p]) }
func (u unit) state() string          { return u["ActiveState"] }
func (u unit) never(p string) bool    { return u[p] == "" || u[p] == "0" }
func (u unit) isAny(suf ...string) bool {
	return slices.ContainsFunc(suf, func(s string) bool { return strings.HasSuffix(u.id(), s) })
}

// parse reads the output of systemctl show: a paragraph for each unit, a line
// for each property.
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

// incidental are the beginnings of the names of units that come and go with
// users and terminals, and our own.
var incidental = [...]string{
	"getty@", "serial-getty@", "console-getty.", "container-getty@", "autovt@",
	"user@", "user-runtime-dir@", "session-", "run-", "apt-be-",
}

// expected says whether a boot of the system starts u: if it is neither
// disabled, masked or gone, nor one that a timer, a socket, D-Bus or somebody
// starts.
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

// onDemand says whether something else than the boot starts u: it may end by
// itself when there is nothing to do.
func (u unit) onDemand() bool { return len(u.list("TriggeredBy")) > 0 }

// timed says whether a timer starts u, so that when it runs has nothing to do
// with the boot.
func (u unit) timed() bool {
	return slices.ContainsFunc(u.list("TriggeredBy"), func(by string) bool { return strings.HasSuffix(by, ".timer") })
}

// waitsForUs says whether u is queued behind the units that check the health
// of a boot (hooks/systemd), and so can't run before they are done.
func (u unit) waitsForUs() bool {
	return u.state() == "inactive" && !u.never("Job") && slices.ContainsFunc(u.list("After"), func(name string) bool {
		return name == "boot-complete.target" || strings.HasPrefix(name, "apt-be-")
	})
}

// current sums up the units of a system.
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

// verdict is what is to be said of a system's units.
type verdict struct {
	faults  []string // sentences
	pending []string // names of units of which nothing can be said yet
	// since has the times, as systemd writes them, at which those of the units
	// that ran before became active: one that is restarted has another.
	since map[string]string
}

// lacksFile says whether u swaps to a file that is not there. A boot environment
// for whose swap file there was no room has none, which its maker was told.
func (u unit) lacksFile() bool {
	file := u["What"]
	if !u.isAny(".swap") || !strings.HasPrefix(file, "/") || strings.HasPrefix(file, "/dev/") {
		return false
	}
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// compare measures the units of a system by those of another one.
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
			v.faults = append(v.faults, u.id()+" failed (it ran before)")
		case state == "failed" && !hadFailed:
			v.faults = append(v.faults, u.id()+" failed")
		case state == "failed", !ran, u.waitsForUs():
		case state == "activating", state == "deactivating", state == "inactive" && !u.never("Job"):
			v.pending = append(v.pending, u.id())
		case state == "inactive" && !u.excused():
			v.faults = append(v.faults, u.id()+" does not run (it ran before)")
		default:
			v.since[u.id()] = u["ActiveEnterTimestampMonotonic"]
		}
	}
	return v
}

// moved are the names of the units that are not as in an earlier verdict.
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

// excused says whether u, which does not run, may do so: its own conditions
// keep it from running here, or it has run and will again when it is wanted.
func (u unit) excused() bool {
	started := !u.never("InactiveExitTimestampMonotonic")
	if !started {
		return u["ConditionResult"] == "no" && !u.never("ConditionTimestampMonotonic")
	}
	return u.onDemand() && u["Result"] == "success"
}

func (u unit) names() []string { return append(u.list("Names"), u.id()) }

// unique are units in the order of their names, each once.
func unique(units []unit) []unit {
	units = slices.Clone(units)
	slices.SortStableFunc(units, func(a, b unit) int { return strings.Compare(a.id(), b.id()) })
	return slices.CompactFunc(units, func(a, b unit) bool { return a.id() == b.id() })
}
