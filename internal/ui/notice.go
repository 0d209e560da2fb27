// Package ui formats apt-be's output: tables and JSON for results on standard output,
// and notices on standard error. It uses no colours and no cursor movements, so
// NO_COLOR has no effect.
package ui

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// width is the maximum width of a notice in columns. It does not depend on the
// terminal, so that logs are formatted in the same way.
const width = 80

const prefix = "apt-be: "

// Notice writes diagnostics as lines with the prefix "apt-be: ". Each call is one
// write, so that lines of several processes do not mix.
type Notice struct {
	w         io.Writer
	quiet     bool
	allNarrow bool // wrap errors, too
	heard     func(text string)
}

// NewNotice returns a Notice that writes to w, usually standard error. If quiet is
// true, it drops [Notice.Say] and [Notice.Hint].
func NewNotice(w io.Writer, quiet bool) *Notice {
	return &Notice{w: w, quiet: quiet}
}

// Narrow returns a Notice that wraps errors, too. It is used between the output lines
// of another program.
func (n *Notice) Narrow() *Notice {
	narrow := *n
	narrow.allNarrow = true
	return &narrow
}

// Hear passes every message, unwrapped, to fn, even if the Notice is quiet. Logs and
// mail use it. Nil ends it.
func (n *Notice) Hear(fn func(text string)) { n.heard = fn }

// Say writes a message, wrapped to 80 columns. A line that begins with a blank, such as
// a command to copy, is not wrapped.
func (n *Notice) Say(format string, args ...any) {
	n.write("", fmt.Sprintf(format, args...), !n.quiet, true)
}

// Warn writes a warning, even if the Notice is quiet.
func (n *Notice) Warn(format string, args ...any) {
	n.write("warning: ", fmt.Sprintf(format, args...), true, true)
}

// Error writes an error, whose text should begin with "cannot". It does not wrap the
// text, so that it can be searched for, unless the Notice is narrow.
func (n *Notice) Error(err error) {
	n.write("error: ", err.Error(), true, n.allNarrow)
}

// Hint writes the remedy for the preceding error.
func (n *Notice) Hint(format string, args ...any) {
	n.write("hint: ", fmt.Sprintf(format, args...), !n.quiet, true)
}

// write ignores errors of its writer, because there is no other place to report them.
func (n *Notice) write(label, text string, shown, wrapped bool) {
	if n.heard != nil {
		n.heard(label + PrintableLines(text))
	}
	if !shown {
		return
	}
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimRight(Printable(line), " ")
		if i == 0 {
			line = label + line
		}
		parts := []string{line}
		if wrapped && !strings.HasPrefix(line, " ") {
			parts = Wrap(line, width-len(prefix))
		}
		for _, part := range parts {
			out.WriteString(strings.TrimRight(prefix+part, " ") + "\n")
		}
	}
	io.WriteString(n.w, out.String())
}

// Wrap breaks a line at blanks into parts of at most columns characters. It does not
// break a longer word, because the word may be a path.
func Wrap(line string, columns int) []string {
	var parts []string
	part, used := "", 0
	for _, word := range strings.Fields(line) {
		length := utf8.RuneCountInString(word)
		if part != "" && used+1+length > columns {
			parts = append(parts, part)
			part, used = "", 0
		}
		if part != "" {
			part, used = part+" ", used+1
		}
		part, used = part+word, used+length
	}
	return append(parts, part)
}
