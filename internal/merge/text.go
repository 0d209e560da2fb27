package merge

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Text puts a file together of which both sides changed the content, by the
// action Prepend or Merge. The account files need MergeAccounts, and what is
// appended need not be read whole: that is for who writes.
func Text(name string, action Action, base, running, target []byte) (merged []byte, conflicts []Conflict, err error) {
	switch action {
	case Prepend:
		return join(added(running, base), target), nil, nil
	case Merge:
		if strings.HasPrefix(name, "var/lib/dpkg/alternatives/") {
			return alternative(base, running, target), nil, nil
		}
		f, ok := byLine[name]
		if !ok {
			f, ok = debconfFiles[name]
		}
		if !ok {
			f = format{key: wholeLine}
		}
		merged, conflicts = f.lines(base, running, target)
		return merged, conflicts, nil
	}
	return nil, nil, fmt.Errorf("cannot merge %s: %s is not for what both sides changed", name, action)
}

// alternative puts together what update-alternatives(1) knows of one: that it was
// chosen by hand, in the first line, is the admin's; which there are is for
// the packages to say.
func alternative(base, running, target []byte) []byte {
	was, _, _ := bytes.Cut(base, []byte("\n"))
	is, _, _ := bytes.Cut(running, []byte("\n"))
	_, rest, ok := bytes.Cut(target, []byte("\n"))
	if bytes.Equal(was, is) || !ok {
		return target
	}
	return slices.Concat(is, []byte("\n"), rest)
}

// added is what the live side has before the base, or all that it has if it is
// another file by now.
func added(running, base []byte) []byte {
	before, _ := bytes.CutSuffix(running, base)
	return before
}

// join puts one text after another, each in lines of its own.
func join(first, second []byte) []byte {
	joined := bytes.Clone(first)
	if len(first) > 0 && len(second) > 0 && first[len(first)-1] != '\n' {
		joined = append(joined, '\n')
	}
	return append(joined, second...)
}
