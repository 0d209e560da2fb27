package aptconf

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// scope is the scope of all of apt-be's settings.
const scope = "apt-be"

// kind is the type of a setting's value.
type kind int

const (
	group  kind = iota // no value, only settings below it
	scalar             // one value
	list               // several values
)

// settings maps the names of all settings to their kinds.
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

// checkKnown fails if an item in the scope Apt-Be:: is not a setting. It would have no
// effect, and the user would not notice.
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
			return c.fault(c.names[key], value, "not a setting with a value: only settings below it have values")
		case kinds[parent] == list: // an entry of a list, with or without its own name
		case isEntry:
			if _, known := kinds[parent]; !known {
				if _, there := c.names[parent]; there {
					continue // reported separately
				}
				name := strings.TrimSuffix(c.names[key], "::") // libapt passes items without a value to no hook
				return &SettingError{Name: name, Fault: noSuchSetting + nearest(parent), Where: c.where(name, value)}
			}
			return c.fault(strings.TrimSuffix(c.names[key], "::"), strings.Join(c.lists[parent], " "), "not a setting with a value: it is not a list")
		default:
			return &SettingError{Name: c.names[key], Fault: noSuchSetting + nearest(key), Where: c.where(c.names[key], value)}
		}
	}
	return nil
}

// nearest names the most similar setting, as the end of a sentence.
func nearest(key string) string {
	best, least := "", 4 // the number of edits
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

// distance returns the number of letters to change, add or remove.
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

// Methods returns Apt-Be::Activate::Methods: the methods that may be chosen
// automatically. An empty list means all.
func (c Config) Methods() ([]string, error) {
	var methods []string
	for _, method := range c.List("Apt-Be::Activate::Methods") {
		name := Fold(strings.TrimSpace(method))
		switch name {
		case "soft-reboot", "kexec", "reboot":
			methods = append(methods, name)
		default:
			return nil, c.fault("Apt-Be::Activate::Methods", method, "not one of soft-reboot, kexec, reboot")
		}
	}
	return methods, nil
}

// checkLeaveOut fails if a glob in Apt-Be::Nested::Leave-Out can match nothing.
func (c Config) checkLeaveOut() error {
	const name = "Apt-Be::Nested::Leave-Out"
	for _, glob := range c.List(name) {
		if _, err := path.Match(glob, ""); err != nil {
			return c.fault(name, glob, "not a pattern: a [ is not closed, or a \\ is the last character")
		}
		if glob == "/" || !strings.HasPrefix(glob, "/") || path.Clean(glob) != glob {
			return c.fault(name, glob, "not the path of a subvolume from the root, such as /var/lib/docker")
		}
	}
	return nil
}

// checkAllowOutside fails if an entry of Apt-Be::Allow-Outside is not a mount point.
func (c Config) checkAllowOutside() error {
	const name = "Apt-Be::Allow-Outside"
	for _, place := range c.List(name) {
		if place == "/" || !path.IsAbs(place) || path.Clean(place) != place {
			return c.fault(name, place, "not a mount point other than the root, such as /opt")
		}
	}
	return nil
}

// SettingError reports an invalid setting in the scope Apt-Be::. Ignoring it, or using
// the default, could do the opposite of the user's intention.
type SettingError struct {
	Name, Value string
	Fault       string // the fault of the value, such as "neither yes nor no", or of the name
	Where       string // FILE:LINE, or "the command line"; "" if unknown
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

// noSuchSetting is the beginning of Fault for an unknown name.
const noSuchSetting = "there is no such setting"

// fault returns a SettingError for a value.
func (c Config) fault(name, value, fault string) error {
	return &SettingError{Name: name, Value: value, Fault: fault, Where: c.where(name, value)}
}
