package merge

import (
	"slices"
	"strings"
)

// field is the way in which related fields of an entry are merged.
type field int

const (
	one    field = iota // a single value
	secret              // a password and the day of its change: the field and the next one
	set                 // names separated by commas
)

// Account files are tables: fields separated by colons, the first of which is a name.
// passwd(5), group(5), shadow(5), gshadow(5).
var (
	passwdFields  = []field{one, one, one, one, one, one, one}
	groupFields   = []field{one, one, one, set}
	shadowFields  = []field{one, secret, one, one, one, one, one, one, one}
	gshadowFields = []field{one, one, set, set}
)

// table returns the format of a file with such fields.
func table(fields []field) format {
	return format{
		key: entryName,
		merge: func(base, running, target string) (string, []Conflict) {
			return mergeFields(fields, base, running, target)
		},
	}
}

// entryName returns the name of a table's entry, or "" for comments and for NIS lines
// that begin with plus or minus (nsswitch.conf(5)).
func entryName(line string) string {
	if line == "" || strings.ContainsRune("#+-", rune(line[0])) {
		return ""
	}
	entry, _, found := strings.Cut(line, ":")
	if !found {
		return ""
	}
	return entry
}

// mergeFields merges an entry that both sides have, field by field. If both changed a
// field, the running system's wins.
func mergeFields(kinds []field, base, running, target string) (merged string, conflicts []Conflict) {
	b, l, n := strings.Split(base, ":"), strings.Split(running, ":"), strings.Split(target, ":")
	if base == "" {
		b = slices.Clone(n)
		for i, kind := range kinds {
			if kind == set && i < len(b) {
				b[i] = ""
			}
		}
	}
	if len(l) != len(kinds) || len(n) != len(kinds) || len(b) != len(kinds) {
		// The line has an unknown format, so it is not merged.
		return running, []Conflict{{What: l[0], Lost: target}}
	}
	result := slices.Clone(l)
	for i := 0; i < len(kinds); i++ {
		width := 1
		switch kinds[i] {
		case set:
			result[i] = mergeSet(b[i], l[i], n[i])
			continue
		case secret:
			width = 2
		}
		bs, ls, ns := b[i:i+width], l[i:i+width], n[i:i+width]
		switch {
		case slices.Equal(ls, bs):
			copy(result[i:], ns)
		case !slices.Equal(ns, bs) && !slices.Equal(ns, ls):
			if kinds[i] == secret { // reports must not contain it
				conflicts = append(conflicts, Conflict{What: l[0], Lost: "another password"})
			} else {
				conflicts = append(conflicts, Conflict{What: l[0], Lost: strings.Join(ns, ":")})
			}
		}
		i += width - 1
	}
	return strings.Join(result, ":"), conflicts
}

// mergeSet merges lists of names: names that either side added are in it, names that
// either side removed are not.
func mergeSet(base, running, target string) string {
	b, l, n := names(base), names(running), names(target)
	merged := slices.DeleteFunc(slices.Clone(l), func(name string) bool {
		return slices.Contains(b, name) && !slices.Contains(n, name)
	})
	for _, name := range n {
		if !slices.Contains(b, name) && !slices.Contains(l, name) {
			merged = append(merged, name)
		}
	}
	return strings.Join(merged, ",")
}

func names(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
