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

// Parse reads a document. It fails if a block of code is indented instead of fenced,
// because the language of such a block is unknown.
func Parse(name, text string) (Document, error) {
	d := Document{Name: name}
	var fence, language, file, command string
	var content strings.Builder
	blank, list := true, false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "" && trimmed == fence:
			if file != "" {
				d.Files = append(d.Files, File{language, file, content.String()})
			}
			fence = ""
		case fence != "" && file != "":
			content.WriteString(line + "\n")
		case fence != "" && language == "sh":
			command += strings.TrimSuffix(line, `\`)
			if strings.HasSuffix(line, `\`) {
				continue
			}
			if command = withoutComment(command); command != "" {
				d.Commands = append(d.Commands, Command{name, number, command, true})
			}
			command = ""
		case fence != "":
		case strings.HasPrefix(trimmed, "```"):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			language, file, _ = strings.Cut(strings.TrimPrefix(trimmed, fence), " ")
			content.Reset()
		case blank && !list && strings.HasPrefix(line, "    ") && trimmed != "":
			return d, fmt.Errorf("%s:%d: an indented block; put it between ```sh and ```", name, number)
		default:
			for _, s := range span.FindAllStringSubmatch(line, -1) {
				d.Commands = append(d.Commands, Command{name, number, s[1], false})
			}
			for _, l := range link.FindAllStringSubmatch(span.ReplaceAllString(line, ""), -1) {
				d.Links = append(d.Links, l[1])
			}
			if trimmed != "" {
				list = regexp.MustCompile(`^ *([*-]|\d+\.) |^  `).MatchString(line)
			}
		}
		blank = trimmed == ""
	}
	if fence != "" {
		return d, fmt.Errorf("%s: a block without an end", name)
	}
	return d, nil
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
