package aptconf

import "strings"

// Setting is an item of the configuration with its place.
type Setting struct {
	Name  string   `json:"name"`
	Value []string `json:"value"` // several values for a list; none if the item is not set
	Place string   `json:"place"` // FILE:LINE, "the command line", or "" if it is not set or the place is unknown
}

// Setting returns an item and the place that sets its value; of a list, the place of its
// last value. The configuration needs the sources of From for places.
func (c Config) Setting(name string) Setting {
	s := Setting{Name: name, Value: c.List(name)}
	if value, ok := c.values[Fold(name)]; ok && len(s.Value) == 0 {
		s.Value = []string{value}
	}
	if len(s.Value) > 0 {
		s.Place = c.where(name, s.Value[len(s.Value)-1])
	}
	return s
}

// String returns the setting in the format of apt.conf(5), without its place.
func (s Setting) String() string {
	switch {
	case len(s.Value) == 0:
		return s.Name + " is not set"
	case len(s.Value) == 1:
		return s.Name + ` "` + s.Value[0] + `";`
	}
	return s.Name + ` { "` + strings.Join(s.Value, `"; "`) + `"; };`
}
