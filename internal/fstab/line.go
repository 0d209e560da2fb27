package fstab

import "strings"

// line is an entry of an fstab with the positions of its fields.
type line struct {
	text   string
	fields [][2]int // start and end of each field
}

// parseLine finds the fields. Blank lines, comments, and lines with fewer than three
// fields are not entries.
func parseLine(text string) (line, bool) {
	l := line{text: text}
	for i := 0; i < len(text); {
		if isBlank(text[i]) {
			i++
			continue
		}
		start := i
		for i < len(text) && !isBlank(text[i]) {
			i++
		}
		l.fields = append(l.fields, [2]int{start, i})
	}
	return l, len(l.fields) >= 3 && !strings.HasPrefix(l.field(0), "#")
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// field returns a field as written, or "" if it is missing.
func (l line) field(i int) string {
	if i >= len(l.fields) {
		return ""
	}
	return l.text[l.fields[i][0]:l.fields[i][1]]
}

func (l line) mountPoint() string { return unescape(l.field(1)) }

func (l line) isBtrfs() bool {
	for _, kind := range strings.Split(l.field(2), ",") {
		if kind == "btrfs" || kind == "auto" {
			return true
		}
	}
	return false
}

// withOptions returns the line with its options replaced. If it has none, they are
// added as the fourth and last field.
func (l line) withOptions(edit func(options string) string) string {
	if len(l.fields) < 4 {
		end := l.fields[2][1]
		return l.text[:end] + " " + edit("") + l.text[end:]
	}
	start, end := l.fields[3][0], l.fields[3][1]
	return l.text[:start] + edit(l.text[start:end]) + l.text[end:]
}

// unescape undoes the octal escapes of fstab(5), such as \040 for a space.
func unescape(field string) string {
	var plain strings.Builder
	for i := 0; i < len(field); i++ {
		if code, isEscape := octal(field[i:]); isEscape {
			plain.WriteByte(code)
			i += 3
			continue
		}
		plain.WriteByte(field[i])
	}
	return plain.String()
}

// octal parses a backslash and three octal digits.
func octal(s string) (code byte, found bool) {
	if len(s) < 4 || s[0] != '\\' {
		return 0, false
	}
	value := 0
	for _, c := range []byte(s[1:4]) {
		if c < '0' || c > '7' {
			return 0, false
		}
		value = value*8 + int(c-'0')
	}
	return byte(value), value < 256
}

// escape escapes the bytes that would end a field or begin an escape.
func escape(plain string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, "\r", `\015`, `\`, `\134`).Replace(plain)
}
