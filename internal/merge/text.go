package merge

import (
	"bytes"
	"fmt"
)

// Text puts a file together of which both sides changed the content, by one of
// the actions Append, Prepend and Merge. The account files need MergeAccounts.
func Text(name string, action Action, base, live, next []byte) (merged []byte, clashes []Clash, err error) {
	switch action {
	case Append:
		return join(next, added(live, base, bytes.CutPrefix)), nil, nil
	case Prepend:
		return join(added(live, base, bytes.CutSuffix), next), nil, nil
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

// added is what the live side has besides the base, or all that it has if it
// is another file by now, such as a log that was rotated.
func added(live, base []byte, cut func(s, part []byte) ([]byte, bool)) []byte {
	if rest, ok := cut(live, base); ok {
		return rest
	}
	return live
}

// join puts one text after another, each in lines of its own.
func join(first, second []byte) []byte {
	joined := bytes.Clone(first)
	if len(first) > 0 && len(second) > 0 && first[len(first)-1] != '\n' {
		joined = append(joined, '\n')
	}
	return append(joined, second...)
}
