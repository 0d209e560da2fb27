// Package aptconf reads apt's configuration by apt-config(8), which runs libapt's own
// parser over apt.conf, apt.conf.d, $APT_CONFIG and the options of a command line. It
// also defines the policy in the scope Apt-Be:: (both have the format of apt.conf(5)).
package aptconf

import (
	"bytes"
	"fmt"
	"strings"
)

// Config is a configuration of apt: an ordered tree of items, each with a name, such as
// "APT::Get::Simulate", and a value, which may be empty. Names are compared without
// regard to case, as in libapt. The zero Config is empty.
type Config struct {
	values map[string]string   // by folded name
	lists  map[string][]string // the values of direct children, by the parent's folded name
	names  map[string]string   // the names as written, by folded name; names of list entries end in "::"
	from   sources
}

// dumpFormat is the format that Parse reads. %F and %V are the name and the value.
// Characters that are not printable ASCII, and the space, '=', '"' and '%', are escaped
// as %XX (apt-config(8), QuoteString in apt's strutl.cc). So each item is one line, and
// its first '=' ends the name.
const dumpFormat = "%F=%V%n"

// Parse parses the output of apt-config dump in dumpFormat.
func Parse(dump []byte) (Config, error) {
	c := Config{values: map[string]string{}, lists: map[string][]string{}, names: map[string]string{}}
	for number := 1; len(dump) > 0; number++ {
		var line []byte
		var whole bool
		line, dump, whole = bytes.Cut(dump, []byte("\n"))
		if !whole {
			return Config{}, fmt.Errorf("cannot parse apt's configuration: line %d is cut off", number)
		}
		name, value, err := parseLine(string(line))
		if err != nil {
			return Config{}, fmt.Errorf("cannot parse apt's configuration: line %d: %w", number, err)
		}
		c.add(name, value)
	}
	return c, nil
}

func parseLine(line string) (name, value string, err error) {
	quotedName, quotedValue, found := strings.Cut(line, "=")
	if !found {
		return "", "", fmt.Errorf("no '=' in %q", line)
	}
	if name, err = unquote(quotedName); err != nil {
		return "", "", err
	}
	value, err = unquote(quotedValue)
	return name, value, err
}

// add adds an item. A name that ends in "::" is an entry of a list without its own
// name. libapt merges items of the same name; if the input had two, the last would win.
func (c Config) add(name, value string) {
	key := Fold(name)
	c.names[key] = name
	if !strings.HasSuffix(key, "::") {
		c.values[key] = value
	}
	if i := strings.LastIndex(key, "::"); i >= 0 {
		parent := key[:i]
		c.lists[parent] = append(c.lists[parent], value)
	}
}

// Fold maps words that libapt treats as equal, such as names of items, to one form.
// libapt compares them with strcasecmp(3), which ignores the case of ASCII letters.
func Fold(word string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, word)
}

// unquote reverses libapt's QuoteString.
func unquote(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("escape cut off in %q", s)
		}
		high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
		if high < 0 || low < 0 {
			return "", fmt.Errorf("bad escape %q in %q", s[i:i+3], s)
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
