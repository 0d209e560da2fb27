package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Printable makes a text from anywhere fit for a terminal: control
// characters, which may be escape sequences, and marks that reverse the
// direction of writing are shown as U+FFFD. Tabs and line ends become spaces.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Size writes a number of bytes in binary units with three digits or so:
// "0 B", "1.2 GiB", "345 MiB".
func Size(bytes int64) string {
	sign := ""
	size := float64(bytes)
	if bytes < 0 {
		sign, size = "-", -size
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	unit := 0
	// 1023.5 would be written as 1024.
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

// Age writes how long ago something was, in its largest whole unit: "0 min",
// "5 min", "3 h", "12 days". A time in the future counts as now.
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
