// Package mailspool handles mail that was sent in the sandbox of an upgrade and could
// not be delivered there. It parses the files that the stand-in for sendmail(8) wrote
// (hooks/sandbox/mta), and adds the result of the upgrade to a message. Maintainer
// scripts wrote the files, so their content is not trusted.
package mailspool

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Message is one call of sendmail(8).
type Message struct {
	Args []string // without argv[0]
	Text []byte   // the standard input
}

// argsLimit is the maximum number of arguments that Parse accepts.
const argsLimit = 10_000

// Parse parses a file of the stand-in: the number of arguments, the arguments, each
// ended by a NUL, and the text.
func Parse(spooled []byte) (Message, error) {
	count, rest, ok := bytes.Cut(spooled, []byte{0})
	n, err := strconv.Atoi(string(count))
	if !ok || err != nil || n < 0 || n > argsLimit {
		return Message{}, errors.New("cannot read a message: the number of arguments is missing")
	}
	var m Message
	for range n {
		var arg []byte
		if arg, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return Message{}, fmt.Errorf("cannot read a message: fewer than %d arguments", n)
		}
		m.Args = append(m.Args, string(arg))
	}
	m.Text = rest
	return m, nil
}

// valued are sendmail's options with a value, which is the next argument if no text
// follows the letter (sendmail(1) of postfix, exim(8)).
const valued = "BCFfhLNOpRrVX"

// Recipients returns arguments for a sendmail that runs as root: the recipients and the
// sender only. It drops all other arguments, because some options of some sendmails
// read or write files. ok is false if there are no recipients.
func (m Message) Recipients() (args []string, ok bool) {
	args = []string{"-i"} // a line with a single dot does not end the text
	var to []string
	fromHeader, sender := false, ""
	for i := 0; i < len(m.Args); i++ {
		arg := m.Args[i]
		if arg == "--" {
			to = append(to, m.Args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			to = append(to, arg)
			continue
		}
		letter, value := arg[1], arg[2:]
		if value == "" && strings.IndexByte(valued, letter) >= 0 {
			if i++; i < len(m.Args) {
				value = m.Args[i]
			}
		}
		switch letter {
		case 't':
			fromHeader = true
		case 'f', 'r':
			sender = value
		}
	}
	to = slices.DeleteFunc(to, func(address string) bool { return !isAddress(address) })
	if isAddress(sender) {
		args = append(args, "-f", sender)
	}
	if fromHeader {
		args = append(args, "-t")
	}
	return append(append(args, "--"), to...), fromHeader || len(to) > 0
}

// isAddress reports whether s may be an address, and is not an option, a file or a
// command.
func isAddress(s string) bool {
	return s != "" && !strings.ContainsAny(s[:1], "-/|:\"") && !strings.ContainsFunc(s, unicode.IsControl)
}
