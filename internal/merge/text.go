package merge

import (
	"bytes"
	"fmt"
)

// Text puts a file together of which both sides changed the content, by the
// action Prepend or Merge. The account files need MergeAccounts, and what is
// appended need not be read whole: that is for who writes.
func Text(name string, action Action, base, live, next []byte) (merged []byte, clashes []Clash, err error) {
	switch action {
	case Prepend:
		return join(added(live, base), next), nil, nil
	case Merge:
		f, ok := byLine[name]
		if !ok {
			f = format{key: wholeLine}
		}
		merged, clashes = f.lines(base, live, next)
		return merged, clashes, nil
	}
	return nil, nil, fmt.Errorf("cannot merge %s: %s is not for what both sides changed", name, action)
}

// added is what the live side has before the base, or all that it has if it is
// another file by now.
func added(live, base []byte) []byte {
	before, _ := bytes.CutSuffix(live, base)
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
