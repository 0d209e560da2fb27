package aptconf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sources are the inputs of a configuration besides apt's own files.
type sources struct {
	args    []string // options of apt-config
	env     []string
	program string
}

// From returns the configuration with the sources in q, for finding the place of a
// setting.
func (c Config) From(q Query) Config {
	c.from = sources{args: q.Args, env: q.Env, program: q.Program}
	return c
}

// theCommandLine is the place of options.
const theCommandLine = "the command line"

// where returns the place that sets an item to a value: FILE:LINE, theCommandLine, or
// "" if it is not found. libapt does not record it.
func (c Config) where(name, value string) string {
	const ( // the quality of a match
		below = iota + 1 // an item below
		named
		same
	)
	best, found := 0, ""
	look := func(a assignment, place string) {
		key := strings.TrimPrefix(Fold(a.name), Fold("Binary::"+c.from.program+"::"))
		fits := 0
		switch key, isBelow := strings.CutPrefix(key, Fold(name)); {
		case !isBelow || key != "" && !strings.HasPrefix(key, "::"):
			return
		case a.value == value && !strings.Contains(strings.TrimPrefix(key, "::"), "::"):
			fits = same
		case key == "" || key == "::":
			fits = named
		default:
			fits = below
		}
		if fits >= best { // the last of several counts
			best, found = fits, place
		}
	}
	inFile := func(file string) {
		for _, a := range readAssignments(file, nil) {
			look(a, fmt.Sprintf("%s:%d", a.file, a.line))
		}
	}
	for _, file := range c.files() {
		inFile(file)
	}
	for _, arg := range c.from.args {
		if option, ok := strings.CutPrefix(arg, "--option="); ok {
			name, value, _ := strings.Cut(option, "=")
			look(assignment{name: name, value: value}, theCommandLine)
		} else if file, ok := strings.CutPrefix(arg, "--config-file="); ok {
			inFile(file)
		}
	}
	return found
}

// files returns the files that libapt reads before a command line, in order.
func (c Config) files() (files []string) {
	for _, entry := range c.from.env {
		if file, ok := strings.CutPrefix(entry, "APT_CONFIG="); ok && file != "" {
			files = append(files, file)
		}
	}
	root := c.String("RootDir", "/")
	parts, main := c.File("Dir::Etc::parts"), c.File("Dir::Etc::main")
	if parts == "" {
		parts = "/etc/apt/apt.conf.d"
	}
	if main == "" {
		main = "/etc/apt/apt.conf"
	}
	entries, _ := os.ReadDir(filepath.Join(root, parts))
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext == "" || ext == ".conf" {
			files = append(files, filepath.Join(root, parts, entry.Name()))
		}
	}
	return append(files, filepath.Join(root, main))
}

// Included returns the files that a configuration file includes, recursively. apt
// itself reports files that cannot be read.
func Included(file string) (files []string) {
	readAssignments(file, func(included string) { files = append(files, included) })
	return files
}

// assignment is an item that a statement of a file sets.
type assignment struct {
	name, value string // names of list entries end in "::"
	file        string
	line        int
}

// readAssignments reads a configuration file and its includes.
func readAssignments(file string, including func(string)) []assignment {
	return readNested(file, including, nil)
}

func readNested(file string, including func(string), within []string) (all []assignment) {
	const deepest = 10
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || len(within) > deepest || slices.Contains(within, file) {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	p := confParser{text: string(data), file: file, line: 1}
	p.include = func(included string) {
		if including != nil {
			including(included)
		}
		p.all = append(p.all, readNested(included, including, append(within, file))...)
	}
	p.parse()
	return p.all
}

// confParser parses names, values and lines of apt.conf(5). It may accept files that
// libapt rejects.
type confParser struct {
	text    string
	file    string
	line    int
	scopes  []string
	words   []string // the words of the statement
	begun   int      // the line of its first word
	include func(file string)
	all     []assignment
}

func (p *confParser) parse() {
	for p.text != "" {
		switch c := p.text[0]; {
		case strings.HasPrefix(p.text, "//"), c == '#' && !p.directive():
			p.comment("\n")
		case strings.HasPrefix(p.text, "/*"):
			p.comment("*/")
		case c == '{':
			p.open()
			p.advance(1)
		case c == ';':
			p.end()
			p.advance(1)
		case c == '}':
			p.end()
			if len(p.scopes) > 0 {
				p.scopes = p.scopes[:len(p.scopes)-1]
			}
			p.advance(1)
		case strings.IndexByte(" \t\r\n", c) >= 0:
			p.advance(1)
		default:
			p.word()
		}
	}
}

// directive reports whether a "#" begins a directive, not a comment.
func (p *confParser) directive() bool {
	return len(p.words) == 0 && (strings.HasPrefix(p.text, "#include") || strings.HasPrefix(p.text, "#clear"))
}

// advance consumes n bytes.
func (p *confParser) advance(n int) (taken string) {
	taken, p.text = p.text[:n], p.text[n:]
	p.line += strings.Count(taken, "\n")
	return taken
}

// comment consumes the rest of a comment.
func (p *confParser) comment(end string) {
	if i := strings.Index(p.text[1:], end); i >= 0 {
		p.advance(1 + i + len(end))
		return
	}
	p.text = ""
}

// word consumes a word, which may have quoted parts.
func (p *confParser) word() {
	if len(p.words) == 0 {
		p.begun = p.line
	}
	quoted, end := false, 0
	for ; end < len(p.text); end++ {
		c := p.text[end]
		if c == '"' {
			quoted = !quoted
		} else if !quoted && strings.IndexByte(" \t\r\n;{}", c) >= 0 {
			break
		}
	}
	p.words = append(p.words, strings.ReplaceAll(p.advance(end), `"`, ""))
}

// name returns the name of an item in the open scopes.
func (p *confParser) name(tag string) string {
	return strings.Join(append(slices.Clone(p.scopes), tag), "::")
}

func (p *confParser) open() {
	if len(p.words) == 0 { // "{" without a name
		p.scopes = append(p.scopes, "")
		return
	}
	value := strings.Join(p.words[1:], " ")
	p.all = append(p.all, assignment{p.name(p.words[0]), value, p.file, p.begun})
	p.scopes = append(p.scopes, p.words[0])
	p.words = nil
}

// end ends a statement.
func (p *confParser) end() {
	words := p.words
	p.words = nil
	switch {
	case len(words) == 0:
	case words[0] == "#include" && len(words) > 1:
		p.include(words[1])
	case strings.HasPrefix(words[0], "#"):
	case len(words) == 1: // an entry of the open list
		p.all = append(p.all, assignment{p.name(""), words[0], p.file, p.begun})
	default:
		p.all = append(p.all, assignment{p.name(words[0]), strings.Join(words[1:], " "), p.file, p.begun})
	}
}
