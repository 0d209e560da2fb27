package aptconf

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// scope is the one in which all of apt-be's settings are.
const scope = "apt-be"

// kind is what a setting takes.
type kind int

const (
	group  kind = iota // nothing but settings below it
	scalar             // a value
	list               // values
)

// settings are all that there are, by their names.
var settings = map[string]kind{
	"Apt-Be":                        group,
	"Apt-Be::Redirect":              scalar,
	"Apt-Be::Redirect::Commands":    list,
	"Apt-Be::Guard":                 scalar,
	"Apt-Be::Activate":              scalar,
	"Apt-Be::Activate::Methods":     list,
	"Apt-Be::Deadline":              scalar,
	"Apt-Be::Speed":                 scalar,
	"Apt-Be::Speed::No-Sync":        scalar,
	"Apt-Be::Speed::Predecompress":  scalar,
	"Apt-Be::Speed::One-Initramfs":  scalar,
	"Apt-Be::Speed::Skip-Unchanged": scalar,
	"Apt-Be::Speed::Dedupe":         scalar,
	"Apt-Be::Nested":                group,
	"Apt-Be::Nested::Leave-Out":     list,
	"Apt-Be::Allow-Outside":         list,
	"Apt-Be::Sandbox":               group,
	"Apt-Be::Sandbox::Network":      scalar,
}

// checkKnown finds what is set in the scope Apt-Be:: and is no setting: it would
// be passed over, and its author would take it for done.
func (c Config) checkKnown() error {
	kinds := map[string]kind{}
	for name, k := range settings {
		kinds[Fold(name)] = k
	}
	for _, key := range slices.Sorted(maps.Keys(c.names)) {
		if key != scope && !strings.HasPrefix(key, scope+"::") {
			continue
		}
		value := c.values[key]
		parent, isEntry := strings.CutSuffix(key, "::")
		if i := strings.LastIndex(key, "::"); !isEntry && i >= 0 {
			parent = key[:i]
		}
		k, known := kinds[key]
		switch {
		case known && (k != group || value == ""):
		case known:
			return c.fault(c.names[key], value, "no value that it takes: it takes settings below it")
		case kinds[parent] == list: // an entry, with or without a name of its own
		case isEntry:
			if _, known := kinds[parent]; !known {
				if _, there := c.names[parent]; there {
					continue // and is told of by itself
				}
				name := strings.TrimSuffix(c.names[key], "::") // libapt tells a hook of no item without a value
				return &SettingError{Name: name, Fault: noSuchSetting + nearest(parent), Where: c.where(name, value)}
			}
			return c.fault(strings.TrimSuffix(c.names[key], "::"), strings.Join(c.lists[parent], " "), "no value that it takes: it is no list")
		default:
			return &SettingError{Name: c.names[key], Fault: noSuchSetting + nearest(key), Where: c.where(c.names[key], value)}
		}
	}
	return nil
}

// nearest names the setting that may have been meant, as the end of a sentence.
func nearest(key string) string {
	best, least := "", 4 // edits
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if d := distance(key, Fold(name)); d < least && settings[name] != group {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; " + best + " is one"
}

// distance is how many letters have to be changed, added or removed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Methods returns Apt-Be::Activate::Methods: the ways that a machine may take to
// another environment without being asked for one. None is all.
func (c Config) Methods() ([]string, error) {
	var methods []string
	for _, method := range c.List("Apt-Be::Activate::Methods") {
		name := Fold(strings.TrimSpace(method))
		switch name {
		case "soft-reboot", "kexec", "reboot":
			methods = append(methods, name)
		default:
			return nil, c.fault("Apt-Be::Activate::Methods", method, "none of soft-reboot, kexec, reboot")
		}
	}
	return methods, nil
}

// checkLeaveOut finds a glob in Apt-Be::Nested::Leave-Out that can match nothing.
func (c Config) checkLeaveOut() error {
	const name = "Apt-Be::Nested::Leave-Out"
	for _, glob := range c.List(name) {
		if _, err := path.Match(glob, ""); err != nil {
			return c.fault(name, glob, "no pattern: a [ is not closed, or a \\ is the last character")
		}
		if glob == "/" || !strings.HasPrefix(glob, "/") || path.Clean(glob) != glob {
			return c.fault(name, glob, "no path of a subvolume as seen from the root, such as /var/lib/docker")
		}
	}
	return nil
}

// checkAllowOutside finds an entry of Apt-Be::Allow-Outside that is no mount point.
func (c Config) checkAllowOutside() error {
	const name = "Apt-Be::Allow-Outside"
	for _, place := range c.List(name) {
		if place == "/" || !path.IsAbs(place) || path.Clean(place) != place {
			return c.fault(name, place, "no mount point besides the root, such as /opt")
		}
	}
	return nil
}

// SettingError is a setting in the scope Apt-Be:: that means nothing: passed over,
// or taken as the default, it would do the opposite of what its author meant.
type SettingError struct {
	Name, Value string
	Fault       string // what is wrong with the value: "neither yes nor no"; or with the name
	Where       string // FILE:LINE, or "the command line"; "" if it is not known
}

func (e *SettingError) Error() string {
	text := fmt.Sprintf("cannot read %s: %q is %s", e.Name, e.Value, e.Fault)
	if strings.HasPrefix(e.Fault, noSuchSetting) {
		text = fmt.Sprintf("cannot read %s: %s", e.Name, e.Fault)
	}
	if e.Where != "" {
		text += " (" + e.Where + ")"
	}
	return text
}

// noSuchSetting begins the Fault of a name, which no value can mend.
const noSuchSetting = "there is no such setting"

// fault is a SettingError of a value.
func (c Config) fault(name, value, fault string) error {
	return &SettingError{Name: name, Value: value, Fault: fault, Where: c.where(name, value)}
}
