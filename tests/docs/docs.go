// Package docs reads the commands, files and links of the documents, so that tests can
// run and check them.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Command is a command line that a document shows.
type Command struct {
	File  string // of the document, from the root of the repository
	Line  int
	Text  string // without the comment
	Typed bool   // from a block that the reader types, not from a sentence
}

// Place returns the document and the line of the command.
func (c Command) Place() string { return fmt.Sprintf("%s:%d", c.File, c.Line) }

// File is a file that a document shows in a block: the first line of the block is
// ```LANGUAGE NAME. The block has the whole file, or, if the language is diff, lines
// to replace.
type File struct {
	Language, Name, Text string
}

// Document is a Markdown file of the repository.
type Document struct {
	Name     string // from the root of the repository
	Commands []Command
	Files    []File
	Links    []string // to files, relative to the document
}

// Root returns the root of the repository that contains the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", fmt.Errorf("cannot find go.mod above the working directory")
		}
	}
}

// Read reads all Markdown files below root, except those in hidden directories and in
// build.
func Read(root string) ([]Document, error) {
	var documents []Document
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || path == filepath.Join(root, "build")) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		document, err := Parse(name, string(text))
		documents = append(documents, document)
		return err
	})
	return documents, err
}

var (
	span = regexp.MustCompile("`([^`]+)`")
	link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
)

// item matches the first line of an item of a list, and its further lines.
var item = regexp.MustCompile(`^ *([*-]|\d+\.) |^  `)

// parser is the state of Parse.
type parser struct {
	document        Document
	fence           string // of the block that is open
	indent          string // of the fence, and of each line of the block
	language, file  string // of this block
	content         strings.Builder
	command         string // continued on the next line
	paragraph       string
	paragraphNumber int // the line number of its first line
	list            bool
}

// Parse reads a document. It fails if a block of code is indented instead of fenced,
// because the language of such a block is unknown.
func Parse(name, text string) (Document, error) {
	p := parser{document: Document{Name: name}}
	number := 0
	for line := range strings.Lines(text + "\n") {
		number++
		line = strings.TrimSuffix(line, "\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case p.fence != "":
			p.inBlock(line, number)
		case strings.HasPrefix(trimmed, "```"):
			p.endParagraph()
			p.indent, _, _ = strings.Cut(line, "`")
			p.fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			p.language, p.file, _ = strings.Cut(strings.TrimPrefix(trimmed, p.fence), " ")
			p.content.Reset()
		case trimmed == "":
			p.endParagraph()
		case p.paragraph == "" && !p.list && strings.HasPrefix(line, "    "):
			return p.document, fmt.Errorf("%s:%d: an indented block; put it between ```sh and ```", name, number)
		default:
			if strings.HasPrefix(line, "|") || p.paragraph == "" {
				p.endParagraph()
				p.paragraphNumber = number
			}
			p.paragraph += line + "\n"
			p.list = item.MatchString(line)
		}
	}
	p.endParagraph()
	if p.fence != "" {
		return p.document, fmt.Errorf("%s: a block without an end", name)
	}
	return p.document, nil
}

// inBlock reads a line of a block.
func (p *parser) inBlock(line string, number int) {
	line = strings.TrimPrefix(line, p.indent)
	switch {
	case strings.TrimSpace(line) == p.fence:
		if p.file != "" {
			p.document.Files = append(p.document.Files, File{p.language, p.file, p.content.String()})
		}
		p.fence = ""
	case p.file != "":
		p.content.WriteString(line + "\n")
	case p.language == "sh":
		start, continued := strings.CutSuffix(line, `\`)
		p.command += start
		if continued {
			return
		}
		if command := withoutComment(p.command); command != "" {
			p.document.Commands = append(p.document.Commands, Command{p.document.Name, number, command, true})
		}
		p.command = ""
	}
}

// endParagraph reads the code and the links of the paragraph before.
func (p *parser) endParagraph() {
	for _, at := range span.FindAllStringSubmatchIndex(p.paragraph, -1) {
		number := p.paragraphNumber + strings.Count(p.paragraph[:at[0]], "\n")
		text := strings.ReplaceAll(p.paragraph[at[2]:at[3]], "\n", " ")
		p.document.Commands = append(p.document.Commands, Command{p.document.Name, number, text, false})
	}
	for _, l := range link.FindAllStringSubmatch(span.ReplaceAllString(p.paragraph, ""), -1) {
		p.document.Links = append(p.document.Links, l[1])
	}
	p.paragraph = ""
}

// Apply changes text as a file of the language diff says: the lines with "-" and " " are
// in the text once, and are replaced by those with "+" and " ".
func (f File) Apply(text string) (string, error) {
	var before, after strings.Builder
	for line := range strings.Lines(f.Text) {
		if sign := line[0]; sign != '+' {
			before.WriteString(line[1:])
		}
		if sign := line[0]; sign != '-' {
			after.WriteString(line[1:])
		}
	}
	text, old := "\n"+text, "\n"+before.String()
	at := strings.Index(text, old)
	if at < 0 || strings.Contains(text[at+1:], old) {
		return "", fmt.Errorf("cannot change %s: these lines are not in it once:\n%s", f.Name, before.String())
	}
	return text[1:at+1] + after.String() + text[at+len(old):], nil
}

// withoutComment returns a line of a shell script without the comment at its end.
func withoutComment(line string) string {
	quote := rune(0)
	for i, c := range line {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' '):
			return strings.TrimSpace(line[:i])
		}
	}
	return strings.TrimSpace(line)
}

// Words splits a line of a shell script into simple commands and their words. The
// operators are &&, ||, |, and ;. Redirections, and what starts with sudo or a variable,
// are words like others.
func Words(line string) (commands [][]string, err error) {
	var words []string
	var word strings.Builder
	started, quote := false, rune(0)
	endWord := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == ' ':
			endWord()
		case c == '|' || c == '&' || c == ';':
			endCommand()
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote without an end: %s", line)
	}
	endCommand()
	return commands, nil
}

// Added returns the files that the document shows completely.
func (d Document) Added() (files []File) {
	for _, f := range d.Files {
		if f.Language != "diff" {
			files = append(files, f)
		}
	}
	return files
}
