package ui

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Printable makes a text safe for a terminal: control characters, which may be escape
// sequences, and marks that change the writing direction become U+FFFD. Tabs and line
// ends become spaces.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r == '\u2028', r == '\u2029':
			return ' '
		case isHarmful(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// PrintableLines applies Printable to each line of a text.
func PrintableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Printable(line)
	}
	return strings.Join(lines, "\n")
}

// isHarmful reports whether a terminal may interpret a character instead of showing it.
func isHarmful(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// Printer returns a writer that applies Printable to everything except tabs and line
// ends, and passes it to w. It is the last protection for output that was not checked
// before.
func Printer(w io.Writer) io.Writer { return &printer{w: w} }

type printer struct {
	w    io.Writer
	rest []byte // the beginning of an incomplete character
}

// Write implements io.Writer.
func (p *printer) Write(text []byte) (int, error) {
	data := append(p.rest, text...)
	whole := len(data)
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		if utf8.RuneStart(data[len(data)-back]) {
			if !utf8.FullRune(data[len(data)-back:]) {
				whole -= back
			}
			break
		}
	}
	p.rest = bytes.Clone(data[whole:])
	out := bytes.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && isHarmful(r) {
			return unicode.ReplacementChar
		}
		return r
	}, data[:whole])
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Size formats a number of bytes in binary units with about three digits: "0 B", "1.2
// GiB", "345 MiB".
func Size(bytes int64) string {
	sign := ""
	size := float64(bytes)
	if bytes < 0 {
		sign, size = "-", -size
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	unit := 0
	// 1023.5 would be formatted as 1024.
	for size >= 1023.5 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	digits := 0
	if unit > 0 && size < 9.95 {
		digits = 1
	}
	return fmt.Sprintf("%s%.*f %s", sign, digits, size, units[unit])
}

// Age formats an age in its largest whole unit: "0 min", "5 min", "3 h", "12 days". A
// time in the future counts as now.
func Age(age time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case age < time.Minute:
		return "0 min"
	case age < time.Hour:
		return fmt.Sprintf("%d min", age/time.Minute)
	case age < day:
		return fmt.Sprintf("%d h", age/time.Hour)
	case age < 2*day:
		return "1 day"
	}
	return fmt.Sprintf("%d days", age/day)
}
