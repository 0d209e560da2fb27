// Package mailspool is for mail that was sent where it could not be delivered: in
// the sandbox of an upgrade. It takes apart what the stand-in for sendmail(8)
// has written (hooks/sandbox/mta), and adds to a message what became of that
// upgrade. Maintainer scripts wrote all of it, so none of it is trusted.
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
	Text []byte   // its standard input
}

// argsLimit is the most arguments of a call that are taken for such.
const argsLimit = 10_000

// Parse reads what the stand-in wrote: the number of arguments and the
// arguments, each ended by a NUL, and the text.
func Parse(spooled []byte) (Message, error) {
	count, rest, ok := bytes.Cut(spooled, []byte{0})
	n, err := strconv.Atoi(string(count))
	if !ok || err != nil || n < 0 || n > argsLimit {
		return Message{}, errors.New("cannot read a message: it does not begin with the number of its arguments")
	}
	var m Message
	for range n {
		var arg []byte
		if arg, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return Message{}, fmt.Errorf("cannot read a message: it has fewer than %d arguments", n)
		}
		m.Args = append(m.Args, string(arg))
	}
	m.Text = rest
	return m, nil
}

// valued are the options of sendmail that take a value, which is the next
// argument if nothing follows the letter (sendmail(1) of postfix, exim(8)).
const valued = "BCFfhLNOpRrVX"

// Recipients are the arguments with which to hand a message to a sendmail that
// runs as root: who gets it and who sent it, and nothing else of what the
// caller said, as some options of some sendmails read or write files. ok is
// false if nobody is to get it.
func (m Message) Recipients() (args []string, ok bool) {
	args = []string{"-i"} // the text ends where it ended
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

// isAddress says whether something may be an address, and not an option, a
// file or a command.
func isAddress(s string) bool {
	return s != "" && !strings.ContainsAny(s[:1], "-/|:\"") && !strings.ContainsFunc(s, unicode.IsControl)
}
