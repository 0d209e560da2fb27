package aptconf

import (
	"math"
	"strings"
)

// String returns the value of an item, or def if it is unset or empty (libapt's
// Configuration::Find).
func (c Config) String(name, def string) string {
	if v := c.values[Fold(name)]; v != "" {
		return v
	}
	return def
}

// File returns the path of an item, relative to the paths of the items above it, or ""
// if it is unset or empty (libapt's Configuration::FindFile).
func (c Config) File(name string) string {
	path := c.String(name, "")
	for path != "" && !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "./") {
		i := strings.LastIndex(name, "::")
		if i < 0 {
			break
		}
		name = name[:i]
		if dir := c.String(name, ""); dir != "" {
			path = strings.TrimSuffix(dir, "/") + "/" + path
		}
	}
	return path
}

// Bool returns the value of an item like libapt's Configuration::FindB, which returns
// def also for a value that is not a boolean.
func (c Config) Bool(name string, def bool) bool {
	v := c.values[Fold(name)]
	if v == "" {
		return def
	}
	if b, ok := ParseBool(v); ok {
		return b
	}
	return def
}

// Int returns the value of an item like libapt's Configuration::FindI: the number at
// its start, or def if there is none.
func (c Config) Int(name string, def int) int {
	n, length := strtol(c.values[Fold(name)])
	if length == 0 {
		return def
	}
	return int(n)
}

// List returns the entries of a list in order, like libapt's Configuration::FindVector:
// the values of all items directly below name, or, if name itself has a value, the
// parts of that value between commas.
func (c Config) List(name string) []string {
	key := Fold(name)
	if v := c.values[key]; v != "" {
		return strings.Split(v, ",")
	}
	return append([]string(nil), c.lists[key]...)
}

// ParseBool parses a boolean like libapt's StringToBool: 0 and 1 in any form that
// strtol(3) accepts, and yes, true, with, on, enable, no, false, without, off and
// disable in any case. The empty string is false.
func ParseBool(s string) (value, ok bool) {
	// libapt stores the number in an int
	if n, length := strtol(s); length == len(s) && (int32(n) == 0 || int32(n) == 1) {
		return int32(n) == 1, true
	}
	switch Fold(s) {
	case "no", "false", "without", "off", "disable":
		return false, true
	case "yes", "true", "with", "on", "enable":
		return true, true
	}
	return false, false
}

// strtol is strtol(3) with base 0. It returns the number and the number of bytes that
// it consumed, 0 if there is no number.
func strtol(s string) (n int64, length int) {
	i := 0
	for i < len(s) && strings.IndexByte(" \t\n\v\f\r", s[i]) >= 0 {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	base := int64(10)
	if i < len(s) && s[i] == '0' {
		base = 8
		if i+2 < len(s) && s[i+1]|0x20 == 'x' && hexDigit(s[i+2]) >= 0 {
			base = 16
			i += 2
		}
	}
	start, overflow := i, false
	for ; i < len(s); i++ {
		d := int64(hexDigit(s[i]))
		if d < 0 || d >= base {
			break
		}
		if n > (math.MaxInt64-d)/base {
			overflow = true
			continue
		}
		n = n*base + d
	}
	switch {
	case i == start:
		return 0, 0
	case overflow && negative:
		return math.MinInt64, i
	case overflow:
		return math.MaxInt64, i
	case negative:
		return -n, i
	}
	return n, i
}

// IsInt reports whether strtol(3) with base 0 consumes all of s, as for the empty
// string.
func IsInt(s string) bool {
	_, length := strtol(s)
	return length == len(s)
}
