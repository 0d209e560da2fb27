package merge

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Conflict is a change of both sides of which a part is lost.
type Conflict struct {
	What string // the name of an entry, or a line
	Lost string // the lost text
}

// format describes how files of entries are merged. Entries are lines, or end with
// another separator.
type format struct {
	// apart is the separator after each entry; "" means a line end.
	apart string
	// key returns the key of an entry, or "" if the entry is identified by its whole
	// text, such as a comment.
	key func(line string) string
	// merge merges an entry that both sides changed, or added with the same key; then
	// base is "". It returns the lost parts. Nil means that the running system's entry
	// wins.
	merge func(base, running, target string) (merged string, conflicts []Conflict)
}

// end returns the separator after each entry.
func (f format) end() string {
	if f.apart == "" {
		return "\n"
	}
	return f.apart
}

// entries are the lines of a file by key, and in order.
type entries struct {
	order []string
	line  map[string]string
}

// parse assigns a unique key to each line: a second line with the same key is a
// different entry.
func (f format) parse(content []byte) entries {
	e := entries{line: map[string]string{}}
	text := strings.TrimSuffix(string(content), f.end())
	if text == "" && len(content) == 0 {
		return e
	}
	count := map[string]int{}
	for _, line := range strings.Split(text, f.end()) {
		key := f.key(line)
		if key == "" {
			key = "\x00" + line
		}
		count[key]++
		if n := count[key]; n > 1 {
			key += "\x00" + strconv.Itoa(n)
		}
		e.order = append(e.order, key)
		e.line[key] = line
	}
	return e
}

// lines merges a file entry by entry. An entry that the running system deleted is not
// in the result. An entry that the target deleted is in it only if the running system
// changed it.
func (f format) lines(base, running, target []byte) (merged []byte, conflicts []Conflict) {
	switch {
	case bytes.Equal(base, running) || bytes.Equal(running, target):
		return target, nil
	case bytes.Equal(base, target):
		return running, nil
	}
	b, l, n := f.parse(base), f.parse(running), f.parse(target)
	result := map[string]string{}
	var order []string
	for _, key := range l.order {
		line, keep, conflict := f.entry(key, b, l, n)
		conflicts = append(conflicts, conflict...)
		if keep {
			result[key] = line
			order = append(order, key)
		}
	}
	for i, key := range n.order {
		if _, ok := l.line[key]; ok {
			continue
		}
		line, keep, conflict := f.entry(key, b, l, n)
		conflicts = append(conflicts, conflict...)
		if !keep {
			continue
		}
		result[key] = line
		// Insert the entry after its predecessor.
		at := 0
		for j := i - 1; j >= 0; j-- {
			if before := slices.Index(order, n.order[j]); before >= 0 {
				at = before + 1
				break
			}
		}
		order = slices.Insert(order, at, key)
	}
	var out bytes.Buffer
	for _, key := range order {
		out.WriteString(result[key])
		out.WriteString(f.end())
	}
	return out.Bytes(), conflicts
}

// entry merges the entries with one key.
func (f format) entry(key string, base, running, target entries) (line string, keep bool, conflicts []Conflict) {
	b, inBase := base.line[key]
	l, inLive := running.line[key]
	n, inNext := target.line[key]
	switch {
	case !inLive && !inBase: // new in the target
		return n, true, nil
	case !inLive:
		if n != b {
			conflicts = []Conflict{{What: name(key), Lost: n}}
		}
		return "", false, conflicts
	case !inNext && inBase:
		return l, l != b, nil
	case !inNext || l == n || inBase && n == b:
		return l, true, nil
	case inBase && l == b:
		return n, true, nil
	case f.merge == nil:
		return l, true, []Conflict{{What: name(key), Lost: n}}
	}
	line, conflicts = f.merge(b, l, n)
	return line, true, conflicts
}

// name formats a key for users.
func name(key string) string {
	key = strings.TrimPrefix(key, "\x00")
	first, _, _ := strings.Cut(key, "\x00")
	return first
}

// column returns a key function for lines of words: the nth word, from 0.
func column(n int) func(line string) string {
	return func(line string) string {
		words := strings.Fields(line)
		if len(words) <= n || strings.HasPrefix(words[0], "#") {
			return ""
		}
		return words[n]
	}
}

// wholeLine is the key function for lines without names.
func wholeLine(string) string { return "" }

// byLine maps paths to the formats of files that are merged line by line. If both sides
// changed a line, the running system's wins.
var byLine = map[string]format{
	"etc/hosts":    {key: wholeLine},
	"etc/shells":   {key: wholeLine},
	"etc/fstab":    {key: column(1)},
	"etc/crypttab": {key: column(0)},
}
