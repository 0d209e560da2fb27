package merge

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Conflict is something that both sides changed, so that a part of it is lost.
type Conflict struct {
	What string // an entry's name, or a line
	Lost string // what is not in the result
}

// format says how files with an entry in each line are merged, or with some other
// end of each.
type format struct {
	// apart is what comes after each entry; "" stands for a line end.
	apart string
	// key returns what an entry is known by, or "" if it is nothing but its line,
	// such as a comment.
	key func(line string) string
	// merge returns an entry that both sides changed, or added with the same key:
	// then base is "". It reports what is lost. Nil is for the live side's.
	merge func(base, running, target string) (merged string, conflicts []Conflict)
}

// end is what comes after each entry.
func (f format) end() string {
	if f.apart == "" {
		return "\n"
	}
	return f.apart
}

// entries are the lines of a file by their keys, in their order.
type entries struct {
	order []string
	line  map[string]string
}

// parse gives each line a key of its own: the second line with a key is another
// entry than the first.
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

// lines merges a file entry by entry. An entry that was deleted on the live side
// is not there, whatever the other did to it; one that was deleted on the other
// is there if the live side changed it.
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
		// It comes after what it came after.
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

// entry merges what has one key.
func (f format) entry(key string, base, running, target entries) (line string, keep bool, conflicts []Conflict) {
	b, inBase := base.line[key]
	l, inLive := running.line[key]
	n, inNext := target.line[key]
	switch {
	case !inLive && !inBase: // new on the other side
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

// name is what a key says to a user.
func name(key string) string {
	key = strings.TrimPrefix(key, "\x00")
	first, _, _ := strings.Cut(key, "\x00")
	return first
}

// column returns a key function for a line of words: the nth of them, from 0.
func column(n int) func(line string) string {
	return func(line string) string {
		words := strings.Fields(line)
		if len(words) <= n || strings.HasPrefix(words[0], "#") {
			return ""
		}
		return words[n]
	}
}

// wholeLine is the key function where a line has no name.
func wholeLine(string) string { return "" }

// byLine are the files that are merged line by line, by their paths. What both
// sides changed is the live side's.
var byLine = map[string]format{
	"etc/hosts":    {key: wholeLine},
	"etc/shells":   {key: wholeLine},
	"etc/fstab":    {key: column(1)},
	"etc/crypttab": {key: column(0)},
}
