// Package ui is how apt-be talks: tables and JSON for results on standard
// output, one voice for diagnostics on standard error. It writes no colours
// and moves no cursor, so NO_COLOR has nothing to turn off.
package ui

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// width is how many columns a notice takes at most. It does not ask the
// terminal: what is in a log reads the same.
const width = 80

const prefix = "apt-be: "

// Notice writes diagnostics, every one as lines that begin with "apt-be: ".
// Each call is one write, so that lines of several processes do not mix.
type Notice struct {
	w         io.Writer
	quiet     bool
	allNarrow bool // errors, too
	heard     func(text string)
}

// NewNotice returns a Notice on w, which is standard error. A quiet one drops
// what [Notice.Say] and [Notice.Hint] are given.
func NewNotice(w io.Writer, quiet bool) *Notice {
	return &Notice{w: w, quiet: quiet}
}

// Narrow returns a Notice that wraps errors, too: for what is said between the
// lines of another program, to somebody who asked for that one.
func (n *Notice) Narrow() *Notice {
	narrow := *n
	narrow.allNarrow = true
	return &narrow
}

// Hear has a function get all that is told from now on, quiet or not, in lines that
// are not wrapped: for logs and mail that tell the same. Nil ends that.
func (n *Notice) Hear(heard func(text string)) { n.heard = heard }

// Say writes a message, wrapped to 80 columns. A line in it that begins with
// a blank is something to copy, such as a command, and is not wrapped.
func (n *Notice) Say(format string, args ...any) {
	n.write("", fmt.Sprintf(format, args...), !n.quiet, true)
}

// Warn writes a message that is shown even if quiet.
func (n *Notice) Warn(format string, args ...any) {
	n.write("warning: ", fmt.Sprintf(format, args...), true, true)
}

// Error writes an error, whose text should begin with "cannot". It is not
// wrapped, so that it can be searched for, unless the Notice is a narrow one.
func (n *Notice) Error(err error) {
	n.write("error: ", err.Error(), true, n.allNarrow)
}

// Hint writes what the user can do about the error before it.
func (n *Notice) Hint(format string, args ...any) {
	n.write("hint: ", fmt.Sprintf(format, args...), !n.quiet, true)
}

// write has nothing to do with an error of its writer: there is no other
// place to report to.
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

// Wrap breaks a line at blanks into parts of at most columns characters. A
// word that is longer stays whole: it may be a path.
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
