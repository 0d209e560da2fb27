package redirect

import (
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// upgradingWord returns the first of the words after an install that is a
// pattern (apt-patterns(7), aptitude's search patterns) that selects nothing but
// what is installed, so that it may upgrade the whole system; "" if none is.
func upgradingWord(words []string) string {
	for _, word := range words {
		if selectsInstalled(word) {
			return word
		}
	}
	return ""
}

// selectsInstalled tells whether a word is such a pattern. It says no to what it
// does not understand.
func selectsInstalled(word string) bool {
	// Of a version, a release or a file a "~" in the name is no pattern.
	if i := strings.IndexAny(word, "=/"); i >= 0 && !strings.ContainsAny(word[:i], "?~!(") {
		return false
	}
	// what aptitude is to do with it, where that is to install it
	for _, suffix := range []string{"+M", "&M", "+"} {
		if rest, found := strings.CutSuffix(word, suffix); found {
			word = rest
			break
		}
	}
	if !strings.ContainsAny(word, "?~") || strings.ContainsAny(word[len(word)-1:], "-_:=") {
		return false // these have aptitude, or apt, do something else with what it selects
	}
	p := patternParser{rest: word}
	installed := p.anyOf()
	return installed && p.rest == ""
}

// patternParser reads a pattern. Each of its methods takes a part away from the
// front, and tells whether that selects only what is installed.
type patternParser struct{ rest string }

func (p *patternParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

// take takes a character away if it is the next one.
func (p *patternParser) take(c byte) bool {
	p.blanks()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// anyOf reads alternatives: each of them has to.
func (p *patternParser) anyOf() bool {
	installed := p.allOf()
	for p.take('|') {
		installed = p.allOf() && installed
	}
	return installed
}

// allOf reads patterns that all have to match: one of them has to.
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
			return false // what is this?
		}
	}
}

// one reads a pattern without an operator.
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
	// a name, as in "~U bash" for aptitude
	end := strings.IndexAny(p.rest, " \t\n~?|(),&!")
	if end < 0 {
		end = len(p.rest)
	}
	p.rest = p.rest[end:]
	return false
}

// named reads what follows the "?" of a pattern such as ?and(?upgradable, ?name(x)).
func (p *patternParser) named() bool {
	end := 0
	for end < len(p.rest) && (p.rest[end] == '-' || p.rest[end]|0x20 >= 'a' && p.rest[end]|0x20 <= 'z') {
		end++
	}
	name := aptconf.Fold(p.rest[:end])
	p.rest = p.rest[end:]
	switch name {
	case "upgradable", "upgradeable", "installed":
		if p.take('(') { // it takes none, but brackets may follow
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

// arguments reads those of a pattern that combines others. every says that all of
// them have to select only what is installed.
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

// skip takes the argument of another pattern away, with what is in brackets in it.
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

// short reads what follows the "~" of a pattern such as ~U or ~nbash.
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
		return false // these take no argument either
	}
	end := strings.IndexAny(p.rest, " \t\n~?|(),&!")
	if end < 0 {
		end = len(p.rest)
	}
	p.rest = p.rest[end:]
	return false
}
