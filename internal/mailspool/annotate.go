package mailspool

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net/textproto"
	"strings"
)

// HeaderField is the mail header field that names the boot environment.
const HeaderField = "X-Apt-Be"

// Annotated returns the message's text with a header field of that value and, if the
// body is plain text, with lines appended. Both are ASCII, which all character sets of
// mail contain.
func (m Message) Annotated(value string, lines []string) []byte {
	header, body := split(m.Text)
	newline := "\n"
	if bytes.Contains(header, []byte("\r\n")) {
		newline = "\r\n"
	}
	var out bytes.Buffer
	out.Write(header)
	fmt.Fprintf(&out, "%s: %s%s%s", HeaderField, ascii(value), newline, newline)
	note := newline
	for _, line := range lines {
		note += ascii(line) + newline
	}
	out.Write(appendTo(header, body, note))
	return out.Bytes()
}

// split splits a message at the empty line after the header, which belongs to neither
// part. A text without a header is all body.
func split(text []byte) (header, body []byte) {
	rest := text
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		trimmed := bytes.TrimRight(line, "\r")
		switch {
		case len(trimmed) == 0:
			return text[:len(text)-len(rest)], after
		case !isField(trimmed, len(rest) == len(text)):
			// Without an empty line, sendmail treats this line as the first line of the
			// body.
			return text[:len(text)-len(rest)], rest
		}
		rest = after
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(bytes.Clone(text), '\n'), nil
	}
	return text, nil
}

// isField reports whether a line may belong to a header (RFC 5322, 2.2): a field, the
// continuation of a folded field, or mbox(5)'s first line.
func isField(line []byte, first bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return !first
	}
	if first && bytes.HasPrefix(line, []byte("From ")) {
		return true
	}
	name, _, found := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	return found && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// appendTo appends plain text to a plain-text body, in the body's encoding. It returns
// other bodies, and bodies that contradict their header, unchanged.
func appendTo(header, body []byte, note string) []byte {
	fields := fieldsOf(header)
	if kind := fields.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "text/plain" {
			return body
		}
	}
	var out bytes.Buffer
	switch strings.ToLower(strings.TrimSpace(fields.Get("Content-Transfer-Encoding"))) {
	case "", "7bit", "8bit", "binary":
		out.Write(ended(body))
		out.WriteString(note)
	case "quoted-printable":
		out.Write(ended(body))
		// Of the printable ASCII characters, only this one must be encoded.
		out.WriteString(strings.ReplaceAll(note, "=", "=3D"))
	case "base64":
		text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
		if err != nil {
			return body
		}
		encoded := base64.StdEncoding.EncodeToString(append(ended(text), note...))
		for len(encoded) > 0 {
			const width = 76 // RFC 2045, 6.8
			n := min(width, len(encoded))
			out.WriteString(encoded[:n] + "\n")
			encoded = encoded[n:]
		}
	default:
		return body
	}
	return out.Bytes()
}

// fieldsOf returns the fields of a header, unfolded. If a name occurs twice, the first
// field counts.
func fieldsOf(header []byte) textproto.MIMEHeader {
	fields := textproto.MIMEHeader{}
	unfolded := strings.NewReplacer("\r\n", "\n", "\n ", " ", "\n\t", " ").Replace(string(header))
	for line := range strings.Lines(unfolded) {
		if name, value, found := strings.Cut(line, ":"); found {
			fields.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return fields
}

// ended returns the text with a newline at the end.
func ended(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(bytes.Clone(text), '\n')
	}
	return text
}

// ascii replaces everything except printable ASCII by question marks.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
