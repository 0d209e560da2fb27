package fstab

import (
	"bytes"
	"fmt"
	"strings"
)

// SetRootflags makes a kernel command line, such as the content of /etc/kernel/cmdline,
// boot subvol: in every rootflags= it sets subvol= and removes subvolid=; other flags
// stay. If there is no rootflags=, it adds rootflags=subvol=… after root=, or at the
// end. Lines that begin with # are comments, and arguments after -- are not the
// kernel's. changed reports whether out differs from cmdline. Error: [ErrBadSubvolume].
func SetRootflags(cmdline []byte, subvol string) (out []byte, changed bool, err error) {
	if err := checkSubvolume(subvol); err != nil {
		return cmdline, false, err
	}
	text := string(cmdline)
	params := findParams(text)
	var edited strings.Builder
	last, found := 0, false
	for _, p := range params {
		flags, isRootflags := strings.CutPrefix(p.plain(text), "rootflags=")
		if !isRootflags {
			continue
		}
		found = true
		edited.WriteString(text[last:p.start])
		edited.WriteString(Param("rootflags=" + setSubvolume(flags, subvol, verbatim)))
		last = p.end
	}
	edited.WriteString(text[last:])
	if !found {
		edited.Reset()
		edited.WriteString(insertParam(text, params, Param("rootflags="+setSubvolume("", subvol, verbatim))))
	}
	out = []byte(edited.String())
	return out, !bytes.Equal(out, cmdline), nil
}

// Param formats a kernel parameter, in double quotes if it contains blanks. It removes
// double quotes, for which the kernel has no escape.
func Param(plain string) string {
	plain = strings.ReplaceAll(plain, `"`, "")
	if !strings.ContainsAny(plain, " \t\n\v\f\r") {
		return plain
	}
	name, value, found := strings.Cut(plain, "=")
	if !found || strings.ContainsAny(name, " \t\n\v\f\r") {
		return fmt.Sprintf(`"%s"`, plain)
	}
	return fmt.Sprintf(`%s="%s"`, name, value)
}

// Params splits a kernel command line into its parameters, up to a --, and removes
// their quotes.
func Params(cmdline string) []string {
	var plain []string
	for _, p := range findParams(cmdline) {
		plain = append(plain, p.plain(cmdline))
	}
	return plain
}

func verbatim(s string) string { return s }

// param is the position of a parameter in a command line.
type param struct{ start, end int }

func (p param) plain(text string) string {
	return strings.ReplaceAll(text[p.start:p.end], `"`, "")
}

// findParams returns the positions of the kernel's parameters.
func findParams(text string) []param {
	var params []param
	offset := 0
	for _, text := range strings.SplitAfter(text, "\n") {
		if !strings.HasPrefix(text, "#") {
			start := 0
			// An unclosed quote ends with its line.
			for _, word := range splitOutsideQuotes(strings.TrimSuffix(text, "\n"), isSpace) {
				if word == "--" {
					return params
				}
				if word != "" {
					params = append(params, param{offset + start, offset + start + len(word)})
				}
				start += len(word) + 1
			}
		}
		offset += len(text)
	}
	return params
}

// isSpace is the kernel's isspace without the no-break space.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// insertParam adds a parameter after the last root=, or after the last parameter.
func insertParam(text string, params []param, added string) string {
	if len(params) == 0 {
		// The text may consist of comments, or only of init's parameters.
		return added + "\n" + text
	}
	after := params[len(params)-1]
	for _, p := range params {
		if strings.HasPrefix(p.plain(text), "root=") {
			after = p
		}
	}
	if strings.Count(text[after.start:after.end], `"`)%2 != 0 {
		// After an unclosed quote, it would become a part of the quoted text.
		first := params[0].start
		return text[:first] + added + " " + text[first:]
	}
	return text[:after.end] + " " + added + text[after.end:]
}
