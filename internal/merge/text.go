package merge

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Text merges the content of a file that both sides changed, by the action Prepend or
// Merge. Account files need MergeAccounts, and Append is done while writing.
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
	return nil, nil, fmt.Errorf("cannot merge %s: the action %s cannot merge a file that both sides changed", name, action)
}

// alternative merges the state of an alternative (update-alternatives(1)): the first
// line, whether an administrator chose it, is the running system's; the choices are the
// target's.
func alternative(base, running, target []byte) []byte {
	was, _, _ := bytes.Cut(base, []byte("\n"))
	is, _, _ := bytes.Cut(running, []byte("\n"))
	_, rest, ok := bytes.Cut(target, []byte("\n"))
	if bytes.Equal(was, is) || !ok {
		return target
	}
	return slices.Concat(is, []byte("\n"), rest)
}

// added returns the running system's additions before the base's content, or the whole
// content if the file does not end with the base's.
func added(running, base []byte) []byte {
	before, _ := bytes.CutSuffix(running, base)
	return before
}

// join concatenates two texts, each in complete lines.
func join(first, second []byte) []byte {
	joined := bytes.Clone(first)
	if len(first) > 0 && len(second) > 0 && first[len(first)-1] != '\n' {
		joined = append(joined, '\n')
	}
	return append(joined, second...)
}
