package frontend

import (
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// upgradingWord returns the first word of an install command that is a pattern
// (apt-patterns(7), aptitude's search patterns) that selects only installed packages,
// so that the command may upgrade the whole system. It returns "" if there is none.
func upgradingWord(words []string) string {
	for _, word := range words {
		if selectsInstalled(word) {
			return word
		}
	}
	return ""
}

// selectsInstalled reports whether a word is such a pattern. For patterns that it does
// not understand it returns false.
func selectsInstalled(word string) bool {
	// In a word with a version, a release or a file, "~" does not begin a pattern.
	if i := strings.IndexAny(word, "=/"); i >= 0 && !strings.ContainsAny(word[:i], "?~!(") {
		return false
	}
	// the action for aptitude, if the action is to install
	for _, suffix := range []string{"+M", "&M", "+"} {
		if rest, found := strings.CutSuffix(word, suffix); found {
			word = rest
			break
		}
	}
	if !strings.ContainsAny(word, "?~") || strings.ContainsAny(word[len(word)-1:], "-_:=") {
		return false // with these suffixes, aptitude or apt do something else with the packages
	}
	p := patternParser{rest: word}
	installed := p.anyOf()
	return installed && p.rest == ""
}

// patternParser parses a pattern. Each method consumes a part from the front, and
// reports whether this part selects only installed packages.
type patternParser struct{ rest string }

func (p *patternParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

// take consumes the next character if it is c.
func (p *patternParser) take(c byte) bool {
	p.blanks()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// anyOf parses alternatives: all of them must select only installed packages.
func (p *patternParser) anyOf() bool {
	installed := p.allOf()
	for p.take('|') {
		installed = p.allOf() && installed
	}
	return installed
}

// allOf parses patterns that must all match: one of them must select only installed
// packages.
func (p *patternParser) allOf() (installed bool) {
	for {
		p.blanks()
		if p.rest == "" || strings.IndexByte("|),", p.rest[0]) >= 0 {
			return installed
		}
		if p.take('&') {
			continue
		}
		before := len(p.rest)
		installed = p.one() || installed
		if len(p.rest) == before {
			return false // unknown syntax
		}
	}
}

// one parses a pattern without operators.
func (p *patternParser) one() bool {
	switch {
	case p.take('!'):
		p.one()
		return false
	case p.take('('):
		installed := p.anyOf()
		return p.take(')') && installed
	case p.take('?'):
		return p.named()
	case p.take('~'):
		return p.short()
	}
	// a name, such as bash in aptitude's "~U bash"
	end := strings.IndexAny(p.rest, " \t\n~?|(),&!")
	if end < 0 {
		end = len(p.rest)
	}
	p.rest = p.rest[end:]
	return false
}

// named parses the part after the "?" of a pattern such as ?and(?upgradable, ?name(x)).
func (p *patternParser) named() bool {
	end := 0
	for end < len(p.rest) && (p.rest[end] == '-' || p.rest[end]|0x20 >= 'a' && p.rest[end]|0x20 <= 'z') {
		end++
	}
	name := aptconf.Fold(p.rest[:end])
	p.rest = p.rest[end:]
	switch name {
	case "upgradable", "upgradeable", "installed":
		if p.take('(') { // the pattern takes no argument, but brackets may follow
			return p.take(')')
		}
		return true
	case "and", "or", "narrow", "any-version", "all-versions":
		return p.arguments(name == "or")
	}
	if p.take('(') {
		p.skip()
	}
	return false
}

// arguments parses the arguments of a pattern that combines patterns. If every is true,
// all of them must select only installed packages.
func (p *patternParser) arguments(every bool) bool {
	if !p.take('(') {
		return false
	}
	some, all := false, true
	for {
		installed := p.anyOf()
		some, all = some || installed, all && installed
		switch {
		case p.take(','):
		case p.take(')'):
			return every && all || !every && some
		default:
			return false
		}
	}
}

// skip consumes the argument of another pattern, with nested brackets.
func (p *patternParser) skip() {
	for depth := 1; p.rest != "" && depth > 0; p.rest = p.rest[1:] {
		switch p.rest[0] {
		case '(':
			depth++
		case ')':
			depth--
		}
	}
}

// short parses the part after the "~" of a pattern such as ~U or ~nbash.
func (p *patternParser) short() bool {
	if p.rest == "" {
		return false
	}
	letter := p.rest[0]
	p.rest = p.rest[1:]
	switch letter {
	case 'U', 'i':
		return true
	case 'g', 'b', 'c', 'M', 'N', 'o', 'v', 'T', 'F', 'E':
		return false // these take no argument, either
	}
	end := strings.IndexAny(p.rest, " \t\n~?|(),&!")
	if end < 0 {
		end = len(p.rest)
	}
	p.rest = p.rest[end:]
	return false
}
