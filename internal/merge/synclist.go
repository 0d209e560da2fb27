package merge

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Rule is a line of a synclist.
type Rule struct {
	Pattern string // an absolute path, possibly with path.Match's wildcards, of a file, or of a directory with everything below it
	Action  Action
	From    string // the file and line of the rule
	Own     bool   // the rule is the administrator's
}

// Rules are a synclist. If two rules match a path, the later one applies.
type Rules []Rule

var actions = []Action{Overwrite, Append, Prepend, Merge, Upgrade, Ignore}

// ParseRules parses a synclist in the format of Solaris Live Upgrade (synclist(4)):
// each line has a path and an action; the default action is OVERWRITE. \040 represents
// a space in a path, as in fstab(5), and # begins a comment. file is the name for the
// error, which reports the first invalid line.
func ParseRules(file string, content []byte) (Rules, error) {
	var rules Rules
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		from := fmt.Sprintf("%s:%d", file, number)
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		rule := Rule{Action: Overwrite, From: from, Own: true}
		var err error
		if rule.Pattern, err = unescape(words[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		if len(words) > 1 {
			rule.Action = Action(words[1])
		}
		if err := rule.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		if len(words) > 2 {
			return nil, fmt.Errorf("%s: too many words in %q: use a path and an action; write a space in a path as \\040", from, words[2])
		}
		rules = append(rules, rule)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return rules, nil
}

func (r Rule) check() error {
	switch {
	case !path.IsAbs(r.Pattern):
		return fmt.Errorf("%q is not an absolute path", r.Pattern)
	case path.Clean(r.Pattern) != r.Pattern:
		return fmt.Errorf("%q is not a cleaned path; write %s", r.Pattern, path.Clean(r.Pattern))
	case !slices.Contains(actions, r.Action):
		return fmt.Errorf("unknown action %q: use OVERWRITE, APPEND, PREPEND, MERGE, UPGRADE or IGNORE", r.Action)
	}
	if _, err := path.Match(r.Pattern, ""); err != nil {
		return fmt.Errorf("%q is not a pattern: %w", r.Pattern, err)
	}
	return nil
}

// unescape replaces backslashes with three octal digits.
func unescape(word string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(word, `\`)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if len(after) < 3 {
			return "", fmt.Errorf(`three octal digits must follow a backslash, such as \040`)
		}
		b, err := strconv.ParseUint(after[:3], 8, 8)
		if err != nil {
			return "", fmt.Errorf(`\%s are not three octal digits`, after[:3])
		}
		out.WriteByte(byte(b))
		word = after[3:]
	}
}

// For returns the rule for an absolute path.
func (r Rules) For(name string) (rule Rule, ok bool) {
	for _, rule := range slices.Backward(r) {
		if rule.covers(name) {
			return rule, true
		}
	}
	return Rule{}, false
}

// covers reports whether a rule applies to an absolute path, or to a directory above
// it.
func (r Rule) covers(name string) bool {
	if below, found := strings.CutPrefix(name, r.Pattern); found && (below == "" || below[0] == '/' || r.Pattern == "/") {
		return true
	}
	if !strings.ContainsAny(r.Pattern, `*?[\`) {
		return false
	}
	for p := name; len(p) > 1; p = p[:max(0, strings.LastIndexByte(p, '/'))] {
		if match, _ := path.Match(r.Pattern, p); match {
			return true
		}
	}
	return false
}
